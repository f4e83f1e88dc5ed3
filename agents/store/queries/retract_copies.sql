-- retract_copies: later copies of identities of which something is new below a vector. The copy that counts is the one
-- under the earliest tick, then at the smaller (offset, partition): a function of the log, whoever asks and when.
INSERT INTO retractions (type, subject, ts, source, id, k_epoch, k_partition, k_offset, first_partition, first_offset, kind)
WITH
  (SELECT max(appended_at) FROM events WHERE bitNot(inv_offset) < {usage:Array(UInt64)}[k_partition + 1])
    - INTERVAL {horizon_days:UInt32} DAY AS horizon,
  -- Hashes find candidates in little memory; a collision only brings a candidate too many.
  candidates AS (
    SELECT cityHash64(source, id) AS identity FROM events
    WHERE bitNot(inv_offset) < {usage:Array(UInt64)}[k_partition + 1] AND appended_at >= horizon
    GROUP BY identity
    HAVING max(bitNot(inv_offset) >= {before:Array(UInt64)}[k_partition + 1])
      AND min(cityHash64(type, subject, ts, k_epoch, k_partition))
        != max(cityHash64(type, subject, ts, k_epoch, k_partition))),
  copies AS (
    SELECT type, subject, ts, source, id, k_epoch, k_partition, bitNot(inv_offset) AS k_offset, data
    FROM events FINAL
    WHERE cityHash64(source, id) IN candidates
      AND bitNot(inv_offset) < {usage:Array(UInt64)}[k_partition + 1] AND appended_at >= horizon),
  reached AS (
    SELECT toUInt16(part - 1) AS k_partition, usage[part] AS next_offset, min(number) AS tick
    FROM (SELECT number, usage FROM ticks FINAL) ARRAY JOIN arrayEnumerate(usage) AS part
    GROUP BY k_partition, next_offset),
  ranked AS (
    SELECT c.*, r.tick AS tick
    FROM copies AS c ASOF JOIN reached AS r ON c.k_partition = r.k_partition AND c.k_offset < r.next_offset)
SELECT type, subject, ts, source, id, k_epoch, k_partition, k_offset, first.1, first.2,
  if(data = first.3, 'duplicate', 'conflict')
FROM (
  SELECT *, first_value(tuple(k_partition, k_offset, data)) OVER same AS first, row_number() OVER same AS place
  FROM ranked
  WINDOW same AS (PARTITION BY source, id ORDER BY tick, k_offset, k_partition
    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING))
WHERE place > 1
