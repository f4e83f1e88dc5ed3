-- 0006_resolutions: what became of dead letters, projected from usage.dead-letters.

CREATE TABLE dead_letter_resolutions (
  topic LowCardinality(String) COMMENT 'with partition and offset: the dead letter',
  k_partition UInt16,
  k_offset UInt64,
  resolution LowCardinality(String) COMMENT 'replayed or waived',
  replayed_partition UInt16 COMMENT 'of usage.events, where the record stands that was sent for it; 0 if waived',
  replayed_offset UInt64,
  actor String,
  reason String,
  r_partition UInt16 COMMENT 'of usage.dead-letters, where the resolution stands; the newest of a dead letter counts',
  r_offset UInt64
) ENGINE = ReplacingMergeTree(r_offset)
ORDER BY (topic, k_partition, k_offset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Every dead letter with what became of it. A replayed one says where its record ended: an event, a correction, dead
-- again, a duplicate (stored below the ledger and collapsed into an earlier copy), or not stored yet.
CREATE VIEW dead_letters_now AS
SELECT d.topic AS topic, d.k_partition AS k_partition, d.k_offset AS k_offset, d.reason AS reason, d.detail AS detail,
  d.source AS source, d.record_key AS record_key, d.headers AS headers, d.payload AS payload,
  d.appended_at AS appended_at, r.actor AS actor, r.reason AS why,
  r.replayed_partition AS replayed_partition, r.replayed_offset AS replayed_offset,
  multiIf(r.resolution = '', 'open', r.resolution = 'waived', 'waived',
    e.found = 1, 'event', c.found = 1, 'correction', a.found = 1, 'dead again',
    r.replayed_offset < l.next_offset, 'duplicate', 'not stored yet') AS state
FROM (SELECT * FROM dead_letters FINAL) AS d
LEFT JOIN (SELECT * FROM dead_letter_resolutions FINAL) AS r
  ON d.topic = r.topic AND d.k_partition = r.k_partition AND d.k_offset = r.k_offset
LEFT JOIN (
  SELECT k_partition, bitNot(inv_offset) AS k_offset, 1 AS found FROM events FINAL
  WHERE (type, subject, ts, source, id) IN (
    SELECT type, subject, ts, source, id FROM events WHERE (k_partition, bitNot(inv_offset)) IN (
      SELECT replayed_partition, replayed_offset FROM dead_letter_resolutions WHERE resolution = 'replayed'))) AS e
  ON r.replayed_partition = e.k_partition AND r.replayed_offset = e.k_offset
LEFT JOIN (SELECT k_partition, k_offset, 1 AS found FROM corrections FINAL) AS c
  ON r.replayed_partition = c.k_partition AND r.replayed_offset = c.k_offset
LEFT JOIN (SELECT k_partition, k_offset, 1 AS found FROM dead_letters FINAL WHERE topic = 'usage.events') AS a
  ON r.replayed_partition = a.k_partition AND r.replayed_offset = a.k_offset
LEFT JOIN (SELECT k_partition, max(next_offset) AS next_offset FROM ledger WHERE topic = 'usage.events' GROUP BY k_partition) AS l
  ON r.replayed_partition = l.k_partition;
