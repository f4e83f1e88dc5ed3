-- 0029_audit_slices: an audit goes slice by slice of the log, so that one that dies is gone on with and not begun anew.

CREATE TABLE audit_slices (
  positions UInt64 COMMENT 'of usage.events below the vector, over all partitions',
  usage Array(UInt64) COMMENT 'next_offset per partition of usage.events: everything below was looked at'
) ENGINE = ReplacingMergeTree
ORDER BY positions
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What one try of a slice works on; dropped when it is done, and after a day if it never was.
CREATE TABLE audit_identities (
  run UInt64 COMMENT 'the try',
  identity UInt64 COMMENT 'as in the index: lower 48 bits of cityHash64(source, id)',
  day Date COMMENT 'of the event time, UTC',
  k_partition UInt16,
  k_offset UInt64,
  begun_at DateTime DEFAULT now()
) ENGINE = MergeTree
PARTITION BY run
ORDER BY identity
TTL begun_at + INTERVAL 1 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE audit_candidates (
  run UInt64 COMMENT 'the try',
  identity UInt64 COMMENT 'of which there may be more than one row',
  day Date COMMENT 'of one of them',
  begun_at DateTime DEFAULT now()
) ENGINE = MergeTree
PARTITION BY run
ORDER BY identity
TTL begun_at + INTERVAL 1 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE audit_rows (
  run UInt64 COMMENT 'the try',
  type LowCardinality(String),
  subject String,
  ts DateTime64(3, 'UTC'),
  source LowCardinality(String),
  id String,
  k_epoch UInt8,
  k_partition UInt16,
  k_offset UInt64 COMMENT 'the smallest below the end of the slice: of the row that stays',
  data String,
  appended_at DateTime64(3, 'UTC'),
  begun_at DateTime DEFAULT now()
) ENGINE = MergeTree
PARTITION BY run
ORDER BY (source, id)
TTL begun_at + INTERVAL 1 DAY
SETTINGS ttl_only_drop_parts = 1;
