-- 0001_usage: every record of usage.events in exactly one row, with its position in the log.

-- Accepted usage events, once each. Not per meter, so that a new meter sees old events.
-- Copies within one partition share the sorting key and collapse to the smallest offset (first record wins);
-- there is no time-to-live and no CHECK constraint: one bad row would reject its whole block.
CREATE TABLE events (
  type LowCardinality(String) COMMENT 'CloudEvents type: what happened',
  subject String COMMENT 'who or what used it' CODEC(ZSTD(1)),
  ts DateTime64(3, 'UTC') COMMENT 'event time, floored to milliseconds' CODEC(Delta, ZSTD(1)),
  source LowCardinality(String) COMMENT 'the producer; identity is (source, id)',
  id String CODEC(ZSTD(1)),
  k_epoch UInt8 DEFAULT 0 COMMENT 'raised when a topic is re-created and adopted',
  k_partition UInt16,
  inv_offset UInt64 COMMENT 'bitNot(offset): the smallest offset has the greatest version' CODEC(Delta, ZSTD(1)),
  data String COMMENT 'the payload as received: the truth' CODEC(ZSTD(1)),
  exact String DEFAULT '' COMMENT 'data with numbers as exact decimal strings, only where reading data through a double would change one; else empty' CODEC(ZSTD(1)),
  flags UInt8 DEFAULT 0 COMMENT '1 a number had more than 12 decimals and was rounded, 2 key differs from subject, 4 time taken from the broker',
  sequence String DEFAULT '' COMMENT 'CloudEvents sequence, per source; empty if absent' CODEC(ZSTD(1)),
  appended_at DateTime64(3, 'UTC') COMMENT 'broker time of the record' CODEC(Delta, ZSTD(1)),
  k_offset UInt64 ALIAS bitNot(inv_offset)
) ENGINE = ReplacingMergeTree(inv_offset)
PARTITION BY toYYYYMMDD(ts)
ORDER BY (type, subject, ts, source, id, k_epoch, k_partition)
SETTINGS min_age_to_force_merge_seconds = 21600, min_age_to_force_merge_on_partition_only = 1,
  fsync_after_insert = 1, fsync_part_directory = 1;

-- Corrections by producers: records of usage.events that replace or retract an event by its identity.
CREATE TABLE corrections (
  target_source LowCardinality(String),
  target_id String,
  k_epoch UInt8 DEFAULT 0,
  k_partition UInt16,
  k_offset UInt64,
  action Enum8('replace' = 1, 'retract' = 2),
  source LowCardinality(String) COMMENT 'who corrects',
  id String,
  reason String,
  type LowCardinality(String) COMMENT 'of the replacing event; empty for a retraction',
  subject String,
  ts DateTime64(3, 'UTC'),
  data String,
  exact String DEFAULT '',
  flags UInt8 DEFAULT 0,
  appended_at DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree
ORDER BY (target_source, target_id, k_epoch, k_partition, k_offset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Later copies of an identity that do not collapse by themselves (another partition, time, subject or type).
-- Derived by the auditor; a retraction holds under every vector that sees the copy it names.
CREATE TABLE retractions (
  type LowCardinality(String),
  subject String,
  ts DateTime64(3, 'UTC'),
  source LowCardinality(String),
  id String,
  k_epoch UInt8 DEFAULT 0,
  k_partition UInt16,
  k_offset UInt64 COMMENT 'of the copy that does not count',
  first_partition UInt16,
  first_offset UInt64 COMMENT 'of the copy that counts',
  kind Enum8('duplicate' = 1, 'conflict' = 2)
) ENGINE = ReplacingMergeTree
ORDER BY (type, subject, ts, source, id, k_epoch, k_partition)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Records refused, with the reason and the original bytes.
CREATE TABLE dead_letters (
  topic LowCardinality(String),
  k_epoch UInt8 DEFAULT 0,
  k_partition UInt16,
  k_offset UInt64,
  reason LowCardinality(String),
  detail String CODEC(ZSTD(3)),
  source String DEFAULT '' COMMENT 'the producer, where it could be read',
  record_key String DEFAULT '',
  headers Array(Tuple(String, String)) DEFAULT [] COMMENT 'values in base64',
  payload String CODEC(ZSTD(3)),
  appended_at DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree
ORDER BY (topic, k_epoch, k_partition, k_offset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- How far each partition of each input log is stored. Counts are cumulative from the start of the log, so a row is
-- a function of the log prefix: a replay or a zombie writes rows that agree.
CREATE TABLE ledger (
  topic LowCardinality(String),
  k_epoch UInt8 DEFAULT 0,
  k_partition UInt16,
  next_offset UInt64 COMMENT 'everything below is stored (exclusive)',
  first_offset UInt64 COMMENT 'where the stored range of this row begins',
  events UInt64 COMMENT 'accepted usage events below next_offset, copies included',
  corrections UInt64,
  dead_letters UInt64,
  controls UInt64 COMMENT 'offsets without a record: transaction markers, aborted or compacted records',
  panes Array(UInt32) COMMENT 'five-minute panes (unix time / 300) touched by this row''s range' CODEC(ZSTD(1)),
  last_hash UInt64 COMMENT 'hash of the last record: tells a truncated or re-created log',
  appended_at DateTime64(3, 'UTC') COMMENT 'broker time of the last record'
) ENGINE = ReplacingMergeTree
ORDER BY (topic, k_epoch, k_partition, next_offset, first_offset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
