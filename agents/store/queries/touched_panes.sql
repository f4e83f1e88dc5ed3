-- touched_panes: panes named by a ledger row beyond the vector at which the meter's pane was last sealed.
SELECT DISTINCT l.pane AS pane
FROM (
  SELECT arrayJoin(panes) AS pane, k_partition, max(next_offset) AS next_offset
  FROM ledger WHERE topic = {topic:String} GROUP BY pane, k_partition) AS l
LEFT JOIN (
  SELECT intDiv(toUnixTimestamp(pane), 300) AS pane, vector FROM seals FINAL
  WHERE meter = {meter:String} AND meter_version = {version:String}) AS s ON l.pane = s.pane
WHERE l.next_offset > s.vector[l.k_partition + 1]
ORDER BY pane
