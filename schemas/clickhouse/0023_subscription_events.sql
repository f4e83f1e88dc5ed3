-- 0023_subscription_events: what is announced of subscriptions, and when time changes one next.

-- Kept with the position that led to it, so that a repetition has the same bytes after the state has moved on.
CREATE TABLE subscription_events (
  k_partition UInt16 COMMENT 'of billing.commands',
  k_offset UInt64 COMMENT 'of the command or tick that led to it',
  customer String,
  place UInt16 COMMENT 'among the events of that record and customer',
  subscription String,
  event_id UUID,
  type LowCardinality(String),
  at DateTime64(3, 'UTC') COMMENT 'from when on the subscription stands so',
  event String COMMENT 'the CloudEvent, JSON'
) ENGINE = ReplacingMergeTree
ORDER BY (k_partition, k_offset, customer, place)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

ALTER TABLE customers ADD COLUMN next_change_at Nullable(DateTime64(3, 'UTC'))
  COMMENT 'the first tick at or after this finds a subscription in another status, or other charges in it';
