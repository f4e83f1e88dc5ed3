-- 0003_billing: projections of the billing logs. Each row carries the position it comes from as its version.

-- Billing time: the first record of each number in billing.ticks.
CREATE TABLE ticks (
  number UInt64,
  time DateTime64(3, 'UTC'),
  clock LowCardinality(String) COMMENT 'wall or test, fixed by the first tick',
  usage Array(UInt64) COMMENT 'next_offset per partition of usage.events at this tick',
  vector String COMMENT 'next_offset per partition of every input log, JSON',
  k_offset UInt64
) ENGINE = ReplacingMergeTree
ORDER BY number
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- subject -> customer, from a time on; the greatest offset wins for one (subject, effective_from).
CREATE TABLE attributions (
  subject String,
  effective_from DateTime64(3, 'UTC'),
  customer String,
  actor String,
  reason String,
  request_id String,
  k_offset UInt64
) ENGINE = ReplacingMergeTree
ORDER BY (subject, effective_from, k_offset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- The outcome of every command, stored before the state that it leads to, so that a replay repeats it.
CREATE TABLE command_outcomes (
  k_partition UInt16,
  k_offset UInt64,
  customer String,
  request_id String,
  command LowCardinality(String),
  actor String,
  reason String,
  accepted Bool,
  detail String COMMENT 'why it was refused; empty if accepted',
  tick UInt64 COMMENT 'billing time of the command: the last tick of its partition',
  outcome String COMMENT 'the record published on billing.command-outcomes'
) ENGINE = ReplacingMergeTree
ORDER BY (customer, request_id, k_partition, k_offset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- The last tick folded by each partition of billing.commands.
CREATE TABLE partition_clocks (
  k_partition UInt16,
  tick UInt64,
  time DateTime64(3, 'UTC'),
  record String COMMENT 'the tick, JSON',
  k_offset UInt64
) ENGINE = ReplacingMergeTree(k_offset)
ORDER BY k_partition
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- A customer with subscriptions, as of the last command or tick that changed it.
CREATE TABLE customers (
  customer String,
  k_partition UInt16,
  next_due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'the first tick at or after this bills something',
  state String COMMENT 'CustomerState, JSON',
  k_offset UInt64
) ENGINE = ReplacingMergeTree(k_offset)
ORDER BY customer
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- For readers: one row per subscription, projected from customers.
CREATE TABLE subscriptions (
  customer String,
  subscription String,
  plan LowCardinality(String),
  plan_version LowCardinality(String),
  status LowCardinality(String),
  time_zone LowCardinality(String),
  currency LowCardinality(String),
  starts_at DateTime64(3, 'UTC'),
  ends_at Nullable(DateTime64(3, 'UTC')),
  billed_through DateTime64(3, 'UTC'),
  k_offset UInt64
) ENGINE = ReplacingMergeTree(k_offset)
ORDER BY (customer, subscription);

-- What a tick makes due for a customer: input of the close, found by the fold at the tick's position.
CREATE TABLE billing_runs (
  customer String,
  tick UInt64,
  revision UInt16 DEFAULT 0,
  k_partition UInt16,
  services Array(Tuple(subscription String, starts DateTime64(3, 'UTC'), ends DateTime64(3, 'UTC')))
    COMMENT 'the served span of each due period',
  run String COMMENT 'BillingRun, JSON: tick with vector, periods, plan versions'
) ENGINE = ReplacingMergeTree
ORDER BY (tick, customer, revision)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Usage of the periods of a close, frozen as of its tick's vector.
CREATE TABLE period_usage (
  close_id UUID,
  customer String,
  subscription String,
  meter LowCardinality(String),
  meter_version LowCardinality(String),
  period_start DateTime64(3, 'UTC'),
  period_end DateTime64(3, 'UTC'),
  grp String COMMENT 'group-by values as a JSON array in the meter''s order; null where absent',
  events UInt64,
  invalid UInt64 COMMENT 'events whose value the meter cannot use; within events, left out of value',
  value Decimal(38, 12),
  fingerprint UInt128 COMMENT 'wrapping sum of a 128-bit hash over position and full content of the events'
) ENGINE = ReplacingMergeTree
ORDER BY (close_id, subscription, meter, period_start, grp)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- PeriodClosed, projected from billing.periods; the first record of a close id wins and copies are identical.
CREATE TABLE closes (
  close_id UUID,
  customer String,
  tick UInt64,
  revision UInt16,
  usage_rows UInt64,
  events UInt64,
  fingerprint String COMMENT 'count and wrapping sum of a 128-bit hash over position and full content of the events read',
  record String COMMENT 'PeriodClosed, JSON'
) ENGINE = ReplacingMergeTree
ORDER BY (customer, tick, revision)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Customers whose run did not pass the gate, and why. The rest closes on time.
CREATE TABLE parked_runs (
  customer String,
  tick UInt64,
  revision UInt16,
  reason LowCardinality(String),
  detail String,
  version UInt64,
  released Bool DEFAULT false
) ENGINE = ReplacingMergeTree(version)
ORDER BY (tick, customer, revision)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- The order in which documents became final: numbers are a function of this log.
CREATE TABLE finalisations (
  document_id UUID,
  series LowCardinality(String),
  number UInt64,
  k_offset UInt64
) ENGINE = ReplacingMergeTree
ORDER BY (series, number)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Invoices and credit notes; revision grows with every transition.
CREATE TABLE invoices (
  document_id UUID,
  kind LowCardinality(String),
  status LowCardinality(String),
  number String,
  customer String,
  currency LowCardinality(String),
  period_start DateTime64(3, 'UTC'),
  period_end DateTime64(3, 'UTC'),
  issued_at DateTime64(3, 'UTC') COMMENT 'time of the tick that made it, not a clock',
  subtotal Decimal(38, 12),
  tax Decimal(38, 12),
  total Decimal(38, 12),
  amount_due Decimal(38, 12),
  tick UInt64,
  close_id UUID,
  content_sha256 String COMMENT 'of the canonical billed content',
  document String COMMENT 'Invoice, canonical JSON',
  revision UInt64
) ENGINE = ReplacingMergeTree(revision)
ORDER BY document_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE invoice_lines (
  document_id UUID,
  line UInt32,
  customer String,
  subscription String,
  charge LowCardinality(String),
  meter LowCardinality(String),
  grp String,
  period_start DateTime64(3, 'UTC'),
  period_end DateTime64(3, 'UTC'),
  quantity Decimal(38, 12),
  amount Decimal(38, 12),
  amount_exact String,
  currency LowCardinality(String),
  record String COMMENT 'the line, JSON'
) ENGINE = ReplacingMergeTree
ORDER BY (document_id, line)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Documents that are in billing.finalisations already. Only saves appending twice: the first occurrence counts anyway.
CREATE TABLE ordered_documents (document_id UUID) ENGINE = ReplacingMergeTree ORDER BY document_id;
