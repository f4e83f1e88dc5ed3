-- positions_twice: positions of a range of usage.events that stand in more than one row, and in which tables.
SELECT k_partition, k_offset, count() AS rows, groupArray(what) AS tables
FROM (
  SELECT k_partition, bitNot(inv_offset) AS k_offset, 'event' AS what FROM events FINAL
  UNION ALL SELECT k_partition, k_offset, 'correction' FROM corrections FINAL
  UNION ALL SELECT k_partition, k_offset, 'dead letter' FROM dead_letters FINAL WHERE topic = 'usage.events'
  UNION ALL SELECT k_partition, k_offset, 'copy' FROM copies FINAL)
WHERE k_offset >= {from:Array(UInt64)}[k_partition + 1] AND k_offset < {to:Array(UInt64)}[k_partition + 1]
GROUP BY k_partition, k_offset
HAVING rows > 1
ORDER BY k_partition, k_offset
LIMIT {at_most:UInt64}
