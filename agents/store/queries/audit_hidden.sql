-- audit_hidden: positions of a slice that hold a copy of an earlier record of their partition, as yet in a row of its own
-- that collapses into that record's. $days are those of the slice; so is the record's, which has the same time.
SELECT DISTINCT k_partition, k_offset, k_offset + 1
FROM audit_identities
WHERE run = {run:UInt64} AND identity IN (SELECT identity FROM audit_candidates WHERE run = {run:UInt64})
  AND (k_partition, k_offset) NOT IN (
    SELECT k_partition, min(bitNot(inv_offset)) FROM events
    WHERE $days AND bitAnd(cityHash64(source, id), 0xFFFFFFFFFFFF) IN (
      SELECT identity FROM audit_candidates WHERE run = {run:UInt64})
    GROUP BY type, subject, ts, source, id, k_epoch, k_partition)
  AND (k_partition, k_offset) NOT IN (
    SELECT k_partition, k_offset FROM copies WHERE k_offset >= {from:Array(UInt64)}[k_partition + 1]
      AND k_offset < {usage:Array(UInt64)}[k_partition + 1])
ORDER BY k_partition, k_offset
