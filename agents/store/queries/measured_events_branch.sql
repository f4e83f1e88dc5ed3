-- measured_events_branch: every event that one meter version counts, and whether it can use its value. A fragment of a view.
SELECT $meter AS meter, subject, source, ts, k_partition, k_offset, $valid AS valid
FROM counted_events_now
WHERE $where
