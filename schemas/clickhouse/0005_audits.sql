-- 0005_audits: how far copies of an identity that do not collapse by themselves were looked for.

CREATE TABLE audits (
  tick UInt64 COMMENT 'the tick whose vector was audited; every close under it or an earlier one may go on',
  usage Array(UInt64) COMMENT 'that vector: next_offset per partition of usage.events'
) ENGINE = ReplacingMergeTree
ORDER BY tick
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
