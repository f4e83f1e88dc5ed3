-- 0008_usage_shapes: a close freezes usage in every shape that a price asks for, in order of first usage.

-- Columns of a sorting key can be appended only together with the key.
ALTER TABLE period_usage
  ADD COLUMN IF NOT EXISTS shape LowCardinality(String) COMMENT 'groups (also when empty), total, transactions, or a window size with them: which prices take the row' AFTER fingerprint,
  ADD COLUMN IF NOT EXISTS window_start DateTime64(3, 'UTC') COMMENT 'of the whole window, in the customer''s zone; 1970 for rows of the whole period' AFTER shape,
  ADD COLUMN IF NOT EXISTS first_at DateTime64(3, 'UTC') COMMENT 'event time of the first event of the row: lines are in order of first usage' AFTER window_start,
  ADD COLUMN IF NOT EXISTS k_offset UInt64 COMMENT 'its position' AFTER first_at,
  ADD COLUMN IF NOT EXISTS k_partition UInt16 COMMENT 'its position' AFTER k_offset,
  MODIFY ORDER BY (close_id, subscription, meter, period_start, grp, shape, window_start, first_at, k_offset, k_partition);

ALTER TABLE period_usage ADD COLUMN IF NOT EXISTS window_end DateTime64(3, 'UTC') COMMENT '1970 for rows of the whole period' AFTER window_start;
