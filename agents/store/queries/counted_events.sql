-- counted_events: the events that count under a vector: first record of each identity in its partition, without what
-- corrections and retractions below the vector exclude, with what replacements below it add. A fragment: other
-- queries stand on it. $types lists quoted event types; $subjects narrows to subjects (or is 1).
SELECT type, subject, ts, source, id, k_partition, bitNot(inv_offset) AS k_offset, appended_at, data, if(exact = '', data, exact) AS d
FROM events FINAL
WHERE type IN ($types) AND ($subjects)
  AND ts >= {starts:DateTime64(3, 'UTC')} AND ts < {ends:DateTime64(3, 'UTC')}
  AND bitNot(inv_offset) < {usage:Array(UInt64)}[k_partition + 1]
  AND (source, id) NOT IN (
    SELECT target_source, target_id FROM corrections WHERE k_offset < {usage:Array(UInt64)}[k_partition + 1])
  AND (type, subject, ts, source, id, k_epoch, k_partition) NOT IN (
    SELECT type, subject, ts, source, id, k_epoch, k_partition FROM retractions
    WHERE k_offset < {usage:Array(UInt64)}[k_partition + 1])
UNION ALL
SELECT newest.2 AS type, newest.3 AS subject, newest.4 AS ts, target_source AS source, target_id AS id,
  newest.5 AS k_partition, newest.6 AS k_offset, newest.7 AS appended_at, newest.8 AS data, newest.9 AS d
FROM (
  SELECT target_source, target_id,
    argMax(tuple(action, type, subject, ts, k_partition, k_offset, appended_at, data, if(exact = '', data, exact)),
      (appended_at, k_partition, k_offset)) AS newest
  FROM corrections
  WHERE k_offset < {usage:Array(UInt64)}[k_partition + 1]
  GROUP BY target_source, target_id)
WHERE newest.1 = 'replace' AND type IN ($types) AND ($subjects)
  AND ts >= {starts:DateTime64(3, 'UTC')} AND ts < {ends:DateTime64(3, 'UTC')}
