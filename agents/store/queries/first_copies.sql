-- first_copies: the stored rows that share their sorting key and partition with some records, which came in order.
WITH wanted AS (
  SELECT type, subject, fromUnixTimestamp64Milli(ms, 'UTC') AS ts, source, id, k_partition
  FROM (SELECT {types:Array(String)} AS types, {subjects:Array(String)} AS subjects, {times:Array(Int64)} AS times,
    {sources:Array(String)} AS sources, {ids:Array(String)} AS ids, {partitions:Array(UInt16)} AS partitions)
  ARRAY JOIN types AS type, subjects AS subject, times AS ms, sources AS source, ids AS id, partitions AS k_partition)
SELECT type, subject, toUnixTimestamp64Milli(ts), source, id, k_partition, bitNot(inv_offset), data
FROM events FINAL
WHERE (type, subject, ts, source, id) IN (SELECT type, subject, ts, source, id FROM wanted)
  AND (type, subject, ts, source, id, k_partition) IN (SELECT type, subject, ts, source, id, k_partition FROM wanted)
