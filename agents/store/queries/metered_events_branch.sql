-- metered_events_branch: what one meter version counts since its oldest pane that is not sealed as far as the ledger
-- knows: readers take sealed panes from their totals, so only the open tail is read from raw. A fragment of a view.
SELECT $meter AS meter, $version AS meter_version, subject, ts, source, id, k_partition, k_offset, appended_at,
  $group AS grp, $valid AS valid, $value AS value
FROM counted_events_now
WHERE $where AND ts >= (
  SELECT if(count() = 0, toDateTime64('2299-01-01', 3, 'UTC'), toDateTime64(min(l.pane) * 300, 3, 'UTC'))
  FROM (
    SELECT arrayJoin(panes) AS pane, k_partition, max(next_offset) AS next_offset
    FROM ledger WHERE topic = 'usage.events' GROUP BY pane, k_partition) AS l
  LEFT JOIN (
    SELECT intDiv(toUnixTimestamp(pane), 300) AS pane, vector FROM seals FINAL
    WHERE meter = $meter AND meter_version = $version) AS s ON l.pane = s.pane
  WHERE l.next_offset > s.vector[l.k_partition + 1])
