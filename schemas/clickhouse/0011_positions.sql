-- 0011_positions: positions of usage.events that have no row of their own, each with the reason, so that what was
-- produced is the sum of stored rows. Found by reading the log where no row is; functions of the log, so repeating is free.

-- Copies of an event in its own partition: they share its sorting key and collapsed into the first.
CREATE TABLE copies (
  k_epoch UInt8 DEFAULT 0,
  k_partition UInt16,
  k_offset UInt64 COMMENT 'of the copy',
  first_offset UInt64 COMMENT 'of the copy that counts, in the same partition',
  kind Enum8('duplicate' = 1, 'conflict' = 2) COMMENT 'equal data, byte for byte, or other',
  source LowCardinality(String),
  id String,
  type LowCardinality(String),
  subject String,
  ts DateTime64(3, 'UTC'),
  appended_at DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree
ORDER BY (k_epoch, k_partition, k_offset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Positions at which the log holds no record.
CREATE TABLE empty_positions (
  k_epoch UInt8 DEFAULT 0,
  k_partition UInt16,
  first_offset UInt64,
  next_offset UInt64 COMMENT 'exclusive',
  why Enum8('control' = 1, 'expired' = 2) COMMENT 'a transaction marker, an aborted or compacted record; or beyond the retention of the log before it was looked at'
) ENGINE = ReplacingMergeTree
ORDER BY (k_epoch, k_partition, first_offset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Records that the log holds, the ledger covers, and no table has: rows that were lost. Each stands here for as long as
-- its row is missing; a customer that it touches is not closed.
CREATE TABLE lost_rows (
  k_epoch UInt8 DEFAULT 0,
  k_partition UInt16,
  k_offset UInt64,
  what Enum8('event' = 1, 'correction' = 2, 'dead letter' = 3),
  source String,
  id String,
  type String,
  subject String,
  ts DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree
ORDER BY (k_epoch, k_partition, k_offset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

ALTER TABLE retractions ADD COLUMN restamped UInt8 DEFAULT 0
  COMMENT '1: the copy has another time, type or subject than the one that counts; 0: it differs by its partition alone';
