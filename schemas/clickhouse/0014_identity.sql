-- 0014_identity: an index of identities, which copies were told apart, and a copy of a correction that is none.

-- What auditors look identities up in: 48 bits of a hash of each audited event's identity, and the day of its row.
-- Sorted, it costs a few bytes per event; a hit is then looked up among the events of that day.
CREATE TABLE identities (
  identity UInt64 COMMENT 'lower 48 bits of cityHash64(source, id)' CODEC(Delta, ZSTD(1)),
  day Date COMMENT 'of the event time, UTC: the partition of events' CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree
ORDER BY (identity, day)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

INSERT INTO identities (identity, day)
SELECT bitAnd(cityHash64(source, id), 0xFFFFFFFFFFFF), toDate(ts) FROM events
WHERE bitNot(inv_offset) < (SELECT argMax(usage, tick) FROM audits)[k_partition + 1];

-- Of copies of a correction, by its own identity, the first counts: one that is sent again does not undo a later one.
CREATE OR REPLACE VIEW counted_events_now AS
SELECT type, subject, ts, source, id, k_partition, bitNot(inv_offset) AS k_offset, appended_at, data, if(exact = '', data, exact) AS d
FROM events FINAL
WHERE (source, id) NOT IN (
    SELECT argMin(tuple(target_source, target_id), (appended_at, k_partition, k_offset)) FROM corrections GROUP BY source, id)
  AND (type, subject, ts, source, id, k_epoch, k_partition) NOT IN (
    SELECT type, subject, ts, source, id, k_epoch, k_partition FROM retractions)
UNION ALL
SELECT newest.4, newest.5, newest.6, newest.1, newest.2, newest.7, newest.8, newest.9, newest.10, newest.11
FROM (
  SELECT argMax(first, (first.9, first.7, first.8)) AS newest
  FROM (
    SELECT argMin(tuple(target_source, target_id, action, type, subject, ts, k_partition, k_offset, appended_at, data,
      if(exact = '', data, exact)), (appended_at, k_partition, k_offset)) AS first
    FROM corrections GROUP BY source, id)
  GROUP BY first.1, first.2)
WHERE newest.3 = 'replace';

CREATE VIEW v_duplicates (
  source String COMMENT 'the producer',
  kind String COMMENT 'duplicate: the content is that of the first record, byte for byte; conflict: it is another',
  place String COMMENT 'same partition; other partition, though time, type and subject are the same; re-stamped: another time, type or subject',
  copies UInt64 COMMENT 'records that do not count, as far as they were looked for: to the last audit or reconciliation',
  first_seen DateTime64(3, 'UTC') COMMENT 'event time of the earliest of them',
  last_seen DateTime64(3, 'UTC') COMMENT 'event time of the latest of them',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT c.source AS source, c.kind AS kind, c.place AS place, count() AS copies, min(c.ts) AS first_seen,
  max(c.ts) AS last_seen, any(f.tick) AS tick, any(f.as_of) AS as_of, any(f.stored_to) AS stored_to
FROM (
  SELECT toString(source) AS source, toString(kind) AS kind, 'same partition' AS place, ts FROM copies FINAL
  UNION ALL
  SELECT toString(source), toString(kind), if(restamped, 're-stamped', 'other partition'), ts FROM retractions FINAL) AS c
CROSS JOIN freshness AS f
GROUP BY c.source, c.kind, c.place
COMMENT 'Records that were sent again, by producer: never billed';
