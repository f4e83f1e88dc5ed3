-- lost_rows_now: records that the log holds and that still have no row, below a vector.
SELECT k_partition, k_offset, what, source, id, type, subject, ts
FROM lost_rows FINAL
WHERE k_offset < {to:Array(UInt64)}[k_partition + 1]
  AND (k_partition, k_offset) NOT IN (SELECT k_partition, k_offset FROM corrections)
  AND (k_partition, k_offset) NOT IN (SELECT k_partition, k_offset FROM dead_letters WHERE topic = 'usage.events')
  AND (k_partition, k_offset) NOT IN (
    SELECT k_partition, bitNot(inv_offset) FROM events
    WHERE toYYYYMMDD(ts) IN (SELECT toYYYYMMDD(ts) FROM lost_rows WHERE what = 'event'))
ORDER BY k_partition, k_offset
