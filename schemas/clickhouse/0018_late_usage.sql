-- 0018_late_usage: closed periods that a run looks at again, because of what came after their close.

CREATE TABLE late_periods (
  customer String,
  tick UInt64,
  revision UInt16,
  services Array(Tuple(subscription String, starts DateTime64(3, 'UTC'), ends DateTime64(3, 'UTC')))
    COMMENT 'the served span of each period that is looked at again',
  zones Array(String) COMMENT 'time zones of the periods',
  policies Array(String) COMMENT 'what the plan of each does with a difference',
  records UInt64 COMMENT 'late events, corrections and attributions that touch them'
) ENGINE = ReplacingMergeTree
ORDER BY (tick, customer, revision)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
