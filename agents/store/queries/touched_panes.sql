-- touched_panes: panes named by a ledger row beyond the vector at which the meter's pane was last sealed, and whether it was
-- sealed at all.
SELECT l.pane AS pane, max(length(s.vector) > 0) AS is_sealed
FROM (
  SELECT arrayJoin(w.panes) AS pane, w.k_partition AS k_partition, max(w.next_offset) AS next_offset
  FROM ledger AS w
  WHERE w.topic = {topic:String}
  GROUP BY pane, k_partition) AS l
LEFT JOIN (
  SELECT intDiv(toUnixTimestamp(pane), 300) AS pane, vector FROM seals FINAL
  WHERE meter = {meter:String} AND meter_version = {version:String}) AS s ON l.pane = s.pane
WHERE l.next_offset > s.vector[l.k_partition + 1]
GROUP BY pane
ORDER BY pane
