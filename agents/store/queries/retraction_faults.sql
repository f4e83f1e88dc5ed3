-- retraction_faults: identities of which not exactly one row counts, as far as an audit has come: copies that nobody
-- retracted, and retractions of what is no copy. Rows older than the horizon are not looked at.
WITH (SELECT max(appended_at) FROM events WHERE bitNot(inv_offset) < {usage:Array(UInt64)}[k_partition + 1])
    - INTERVAL {horizon_days:UInt32} DAY AS horizon
SELECT source, id, count() AS rows, countIf(retracted) AS retracted_rows
FROM (
  SELECT e.source AS source, e.id AS id, r.one = 1 AS retracted
  FROM (
    SELECT type, subject, ts, source, id, k_epoch, k_partition FROM events FINAL
    WHERE bitNot(inv_offset) < {usage:Array(UInt64)}[k_partition + 1] AND appended_at >= horizon) AS e
  LEFT JOIN (SELECT type, subject, ts, source, id, k_epoch, k_partition, 1 AS one FROM retractions FINAL) AS r
    USING (type, subject, ts, source, id, k_epoch, k_partition))
GROUP BY source, id
HAVING rows - retracted_rows != 1
ORDER BY source, id
LIMIT {at_most:UInt64}
