-- 0019_retention: which raw usage is no longer kept, and whose was erased. What was billed of it stays.

-- Raw events before an instant were retired: the greatest counts. Totals, frozen usage and documents stay.
CREATE TABLE retirements (
  before DateTime64(3, 'UTC') COMMENT 'midnight UTC: events with an earlier time are not kept',
  tick UInt64 COMMENT 'billing time when it was decided',
  events UInt64 COMMENT 'rows that went',
  actor String,
  reason String
) ENGINE = ReplacingMergeTree
ORDER BY before
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Erasures of subjects, projected from billing.erasures: a row once it was carried out in these tables.
CREATE TABLE erasures (
  k_offset UInt64 COMMENT 'in billing.erasures',
  subject_sha256 String COMMENT 'of the subject: its name is not kept',
  pseudonym String COMMENT 'stands in place of the subject in every table',
  customers Array(String) COMMENT 'whose usage it was',
  events UInt64,
  corrections UInt64,
  dead_letters UInt64,
  actor String,
  reason String
) ENGINE = ReplacingMergeTree
ORDER BY k_offset
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
