-- counted_events: the events that count under a vector: first record of each identity in its partition, without what
-- corrections and retractions below the vector exclude, with what replacements below it add. Of copies of a correction the
-- first counts, of several corrections of one event the last. A fragment: other queries stand on it. $types lists quoted
-- event types; $subjects narrows to subjects (or is 1).
-- PREWHERE is of key columns alone: copies of a row share them, so it cannot part them before FINAL has chosen.
SELECT type, subject, ts, source, id, k_partition, bitNot(inv_offset) AS k_offset, appended_at, data, if(exact = '', data, exact) AS d
FROM events FINAL
PREWHERE type IN ($types) AND ($subjects)
  AND ts >= {starts:DateTime64(3, 'UTC')} AND ts < {ends:DateTime64(3, 'UTC')}
WHERE bitNot(inv_offset) < {usage:Array(UInt64)}[k_partition + 1]
  AND (source, id) NOT IN (
    SELECT argMin(tuple(target_source, target_id), (appended_at, k_partition, k_offset)) AS target FROM corrections
    WHERE k_offset < {usage:Array(UInt64)}[k_partition + 1] GROUP BY source, id)
  AND (type, subject, ts, source, id, k_epoch, k_partition) NOT IN (
    SELECT type, subject, ts, source, id, k_epoch, k_partition FROM retractions
    WHERE k_offset < {usage:Array(UInt64)}[k_partition + 1])
UNION ALL
SELECT newest.4 AS type, newest.5 AS subject, newest.6 AS ts, newest.1 AS source, newest.2 AS id,
  newest.7 AS k_partition, newest.8 AS k_offset, newest.9 AS appended_at, newest.10 AS data, newest.11 AS d
FROM (
  SELECT argMax(first, (first.9, first.7, first.8)) AS newest
  FROM (
    SELECT argMin(tuple(target_source, target_id, action, type, subject, ts, k_partition, k_offset, appended_at, data,
      if(exact = '', data, exact)), (appended_at, k_partition, k_offset)) AS first
    FROM corrections
    WHERE k_offset < {usage:Array(UInt64)}[k_partition + 1]
    GROUP BY source, id)
  GROUP BY first.1, first.2)
WHERE newest.3 = 'replace' AND type IN ($types) AND ($subjects)
  AND ts >= {starts:DateTime64(3, 'UTC')} AND ts < {ends:DateTime64(3, 'UTC')}
