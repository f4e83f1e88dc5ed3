-- panes_in_audit: panes of copies that an audit under way has retracted and has not sealed again yet. A fragment.
SELECT toDateTime(toStartOfInterval(ts, INTERVAL 5 MINUTE), 'UTC') FROM retractions
WHERE k_offset >= (SELECT argMax(usage, tick) FROM audits)[k_partition + 1]
