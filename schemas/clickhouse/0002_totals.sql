-- 0002_totals: totals recomputed from events once a pane is covered; never incremented.

-- One row per meter version, subject, group and five-minute pane. The newest knowledge wins; a group that vanished
-- is overwritten by a zero row.
CREATE TABLE pane_totals (
  meter LowCardinality(String),
  meter_version LowCardinality(String),
  subject String CODEC(ZSTD(1)),
  pane DateTime('UTC') COMMENT 'start of the five minutes' CODEC(Delta, ZSTD(1)),
  grp String COMMENT 'group-by values as a JSON array in the meter''s order; null where absent' CODEC(ZSTD(1)),
  events UInt64 CODEC(T64, ZSTD(1)),
  invalid UInt64 COMMENT 'events whose value the meter cannot use: counted here, left out of total' CODEC(T64, ZSTD(1)),
  total Decimal(38, 12) CODEC(ZSTD(1)),
  ver UInt64 COMMENT 'what was known before the totals were read: number of the last audited tick × 2^40 + sum of the stored vector' CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(ver)
PARTITION BY toYYYYMM(pane)
ORDER BY (meter, meter_version, subject, pane, grp);

-- Which panes are sealed, and how far the log was stored when they were. A pane is dirty while the ledger names it
-- beyond that.
CREATE TABLE seals (
  meter LowCardinality(String),
  meter_version LowCardinality(String),
  pane DateTime('UTC'),
  ver UInt64 COMMENT 'as in pane_totals',
  vector Array(UInt64) COMMENT 'next_offset per partition of usage.events, read before the totals were'
) ENGINE = ReplacingMergeTree(ver)
PARTITION BY toYYYYMM(pane)
ORDER BY (meter, meter_version, pane);
