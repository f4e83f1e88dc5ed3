-- metered_events_branch: what one meter version counts, from the events that count now. A fragment of a view.
SELECT $meter AS meter, $version AS meter_version, subject, ts, source, id, k_partition, k_offset, appended_at,
  $group AS grp, $valid AS valid, $value AS value
FROM counted_events_now
WHERE $where
