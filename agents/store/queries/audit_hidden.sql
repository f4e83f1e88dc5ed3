-- audit_hidden: positions of a slice that hold a copy of an earlier record of their partition, as yet in a row of its own
-- that collapses into that record's.
SELECT DISTINCT k_partition, k_offset, k_offset + 1
FROM audit_identities
WHERE run = {run:UInt64} AND identity IN (SELECT identity FROM audit_candidates WHERE run = {run:UInt64})
  AND (k_partition, k_offset) NOT IN (SELECT k_partition, k_offset FROM audit_rows WHERE run = {run:UInt64})
  AND (k_partition, k_offset) NOT IN (
    SELECT k_partition, k_offset FROM copies WHERE k_offset >= {from:Array(UInt64)}[k_partition + 1]
      AND k_offset < {usage:Array(UInt64)}[k_partition + 1])
