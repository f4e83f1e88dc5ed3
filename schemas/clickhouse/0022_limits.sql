-- 0022_limits: which events settle reservations, what alert rules were last seen at, and the alerts that went out.

-- Events that carry the id of a reservation. Stored before the ledger says that they are, so a vector that covers one
-- sees it. A reservation ends within an hour, so they are kept for days only.
CREATE TABLE settlements (
  reservation String,
  subject String,
  ts DateTime64(3, 'UTC'),
  k_partition UInt16,
  k_offset UInt64,
  appended_at DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree
ORDER BY (reservation, k_partition, k_offset)
TTL toDateTime(appended_at) + INTERVAL 2 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Whether a watched figure lies beyond its threshold, and how often it crossed it. Saves telling a crossing twice; the
-- topic keeps what was told.
CREATE TABLE alert_states (
  rule LowCardinality(String),
  what String COMMENT 'customer, threshold, period, source: what the rule watches here, JSON',
  crossings UInt32,
  is_beyond Bool,
  ver UInt64
) ENGINE = ReplacingMergeTree(ver)
ORDER BY (rule, what)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- billing.alerts, projected: the first record of a key.
CREATE TABLE alerts (
  key String,
  kind LowCardinality(String),
  customer String,
  at DateTime64(3, 'UTC') COMMENT 'billing time',
  text String,
  evidence String COMMENT 'JSON',
  published_at DateTime64(3, 'UTC') COMMENT 'time of the record',
  k_partition UInt16,
  k_offset UInt64,
  inv_offset UInt64 COMMENT 'bitNot(offset): the first record of a key wins'
) ENGINE = ReplacingMergeTree(inv_offset)
ORDER BY key
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE VIEW v_alerts (
  key String COMMENT 'derived from what it is about: each is told once, for ever',
  kind String COMMENT 'usage_threshold, spend_threshold, balance_threshold, forecast_threshold, silence, anomaly, or a notice of collection',
  customer String COMMENT 'whom it concerns; empty for a source',
  at DateTime64(3, 'UTC') COMMENT 'billing time',
  text String COMMENT 'one sentence for a person',
  evidence String COMMENT 'what it rests on, as JSON: rule, figure, threshold, period, vector',
  published_at DateTime64(3, 'UTC') COMMENT 'when it was published',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT a.key AS key, a.kind AS kind, a.customer AS customer, a.at AS at, a.text AS text, a.evidence AS evidence,
  a.published_at AS published_at, f.tick AS tick, f.as_of AS as_of, f.stored_to AS stored_to
FROM (SELECT * FROM alerts FINAL) AS a CROSS JOIN freshness AS f
COMMENT 'What customers and operators were told, with its evidence';
