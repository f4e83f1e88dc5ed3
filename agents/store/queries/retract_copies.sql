-- retract_copies: later copies of some identities, which are given by their hashes. The copy that counts is the one under
-- the earliest tick, then at the smaller (offset, partition): a function of the log, whoever asks and when. $days are the
-- days of the events that are new; those of the others the index knows.
INSERT INTO retractions (type, subject, ts, source, id, k_epoch, k_partition, k_offset, first_partition, first_offset,
  kind, restamped)
WITH
  keys AS (
    SELECT type, subject, ts, source, id FROM events
    WHERE ($days OR toYYYYMMDD(ts) IN (
        SELECT toYYYYMMDD(day) FROM identities WHERE identity IN {identities:Array(UInt64)}))
      AND bitAnd(cityHash64(source, id), 0xFFFFFFFFFFFF) IN {identities:Array(UInt64)}),
  copies AS (
    SELECT type, subject, ts, source, id, k_epoch, k_partition, bitNot(inv_offset) AS k_offset, data
    FROM events FINAL
    WHERE (type, subject, ts, source, id) IN keys
      AND bitNot(inv_offset) < {usage:Array(UInt64)}[k_partition + 1]
      AND appended_at >= (
        SELECT max(appended_at) FROM events
        WHERE $days AND bitNot(inv_offset) < {usage:Array(UInt64)}[k_partition + 1]) - INTERVAL {horizon_days:UInt32} DAY),
  reached AS (
    SELECT toUInt16(part - 1) AS k_partition, usage[part] AS next_offset, min(number) AS tick
    FROM (SELECT number, usage FROM ticks FINAL) ARRAY JOIN arrayEnumerate(usage) AS part
    GROUP BY k_partition, next_offset),
  ranked AS (
    SELECT c.*, r.tick AS tick
    FROM copies AS c ASOF JOIN reached AS r ON c.k_partition = r.k_partition AND c.k_offset < r.next_offset)
SELECT type, subject, ts, source, id, k_epoch, k_partition, k_offset, first.1, first.2,
  if(data = first.3, 'duplicate', 'conflict'), (type, subject, ts) != (first.4, first.5, first.6)
FROM (
  SELECT *, first_value(tuple(k_partition, k_offset, data, type, subject, ts)) OVER same AS first,
    row_number() OVER same AS place
  FROM ranked
  WINDOW same AS (PARTITION BY source, id ORDER BY tick, k_offset, k_partition
    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING))
WHERE place > 1
