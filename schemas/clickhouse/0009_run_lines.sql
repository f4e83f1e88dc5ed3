-- 0009_run_lines: what each run issued, and which runs are rated.

-- Every line that a run issued, debit or credit, by charge and grid period: what the next run of it deducts.
CREATE TABLE run_lines (
  customer String,
  tick UInt64,
  revision UInt16,
  line UInt32,
  subscription String,
  charge LowCardinality(String),
  number UInt32 COMMENT 'which charge of the rate card: each change begins another',
  period_start DateTime64(3, 'UTC') COMMENT 'of the full grid period',
  period_end DateTime64(3, 'UTC'),
  amount Decimal(38, 12) COMMENT 'negative if it gives back',
  currency LowCardinality(String),
  record String COMMENT 'IssuedLine, JSON'
) ENGINE = ReplacingMergeTree
ORDER BY (customer, tick, revision, line)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Runs whose lines and drafts are stored; a run may have no document. Written after them.
CREATE TABLE rated_runs (
  customer String,
  tick UInt64,
  revision UInt16,
  documents UInt32
) ENGINE = ReplacingMergeTree
ORDER BY (customer, tick, revision)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
