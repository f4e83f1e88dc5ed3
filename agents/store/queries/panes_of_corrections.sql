-- panes_of_corrections: panes of events that are corrected, and of what replaces them. A fragment.
SELECT toDateTime(toStartOfInterval(ts, INTERVAL 5 MINUTE), 'UTC') FROM events
WHERE (source, id) IN (SELECT target_source, target_id FROM corrections)
UNION DISTINCT
SELECT toDateTime(toStartOfInterval(ts, INTERVAL 5 MINUTE), 'UTC') FROM corrections WHERE action = 'replace'
