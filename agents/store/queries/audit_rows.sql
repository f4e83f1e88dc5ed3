-- audit_rows: the rows of a slice's candidates, below its end; of copies in one partition with the same key, which collapse,
-- the one that stays.
INSERT INTO audit_rows (run, type, subject, ts, source, id, k_epoch, k_partition, k_offset, data, appended_at)
SELECT {run:UInt64}, type, subject, ts, source, id, k_epoch, k_partition, bitNot(max(inv_offset)),
  argMax(data, inv_offset), argMax(appended_at, inv_offset)
FROM events
PREWHERE bitAnd(cityHash64(source, id), 0xFFFFFFFFFFFF) IN (
  SELECT identity FROM audit_candidates WHERE run = {run:UInt64})
WHERE toYYYYMMDD(ts) IN (SELECT toYYYYMMDD(day) FROM audit_candidates WHERE run = {run:UInt64})
  AND bitNot(inv_offset) < {usage:Array(UInt64)}[k_partition + 1]
GROUP BY type, subject, ts, source, id, k_epoch, k_partition
