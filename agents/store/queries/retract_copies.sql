-- retract_copies: later copies of the candidates of a slice. The copy that counts is the one under the earliest tick, then
-- at the smaller (offset, partition): a function of the log, whoever asks and when. One with none before it within the
-- horizon, in time of arrival, counts again.
INSERT INTO retractions (type, subject, ts, source, id, k_epoch, k_partition, k_offset, first_partition, first_offset,
  kind, restamped)
WITH
  reached AS (
    SELECT toUInt16(part - 1) AS k_partition, usage[part] AS next_offset, min(number) AS tick
    FROM (SELECT number, usage FROM ticks FINAL) ARRAY JOIN arrayEnumerate(usage) AS part
    GROUP BY k_partition, next_offset),
  ranked AS (
    SELECT c.*, r.tick AS tick
    FROM (SELECT * FROM audit_rows WHERE run = {run:UInt64}) AS c
    ASOF JOIN reached AS r ON c.k_partition = r.k_partition AND c.k_offset < r.next_offset)
SELECT type, subject, ts, source, id, k_epoch, k_partition, k_offset, first.1, first.2,
  if(data = first.3, 'duplicate', 'conflict'), (type, subject, ts) != (first.4, first.5, first.6)
FROM (
  SELECT *, argMaxIf(tuple(k_partition, k_offset, data, type, subject, ts), place, counts) OVER (
    PARTITION BY source, id ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS first
  FROM (
    SELECT *, row_number() OVER (PARTITION BY source, id ORDER BY tick, k_offset, k_partition) AS place,
      max(appended_at) OVER (PARTITION BY source, id ORDER BY tick, k_offset, k_partition
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) < appended_at - INTERVAL {horizon_days:UInt32} DAY AS counts
    FROM ranked))
WHERE NOT counts
