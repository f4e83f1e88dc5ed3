-- row_counts: rows of usage.events below an offset of each partition, by what became of them; labels of those that
-- count: late (stored beyond the vector of the first tick after their five minutes), without a customer, without a meter.
WITH
  counted AS (
    SELECT k_partition, k_offset, pane_end, 1 AS one, subject NOT IN (SELECT subject FROM attributions) AS unattributed,
      NOT has({metered:Array(String)}, type) AS unmetered,
      multiIf(r.kind != '', r.kind, (source, id) IN (SELECT target_source, target_id FROM corrections), 'corrected', '') AS fate
    FROM (
      SELECT type, subject, ts, source, id, k_epoch, k_partition, bitNot(inv_offset) AS k_offset,
        toDateTime64(toStartOfFiveMinutes(ts), 3, 'UTC') + INTERVAL 5 MINUTE AS pane_end
      FROM events FINAL
      WHERE bitNot(inv_offset) < {covered:Array(UInt64)}[k_partition + 1]) AS e
    LEFT JOIN (
      SELECT type, subject, ts, source, id, k_epoch, k_partition, toString(kind) AS kind FROM retractions FINAL) AS r
      USING (type, subject, ts, source, id, k_epoch, k_partition))
SELECT k_partition, sum(events), sum(duplicates), sum(conflicts), sum(corrected), sum(late), sum(unattributed),
  sum(unmetered), sum(corrections), sum(dead_letters)
FROM (
  SELECT c.k_partition AS k_partition, count() AS events, countIf(fate = 'duplicate') AS duplicates,
    countIf(fate = 'conflict') AS conflicts, countIf(fate = 'corrected') AS corrected,
    countIf(fate = '' AND notEmpty(usage) AND k_offset >= usage[k_partition + 1]) AS late,
    countIf(fate = '' AND unattributed) AS unattributed, countIf(fate = '' AND unmetered) AS unmetered,
    0 AS corrections, 0 AS dead_letters
  FROM counted AS c
  ASOF LEFT JOIN (SELECT 1 AS one, time, usage FROM ticks FINAL) AS ended
    ON c.one = ended.one AND c.pane_end <= ended.time
  GROUP BY c.k_partition
  UNION ALL
  SELECT k_partition, 0, 0, 0, 0, 0, 0, 0, count(), 0 FROM corrections FINAL
  WHERE k_offset < {covered:Array(UInt64)}[k_partition + 1] GROUP BY k_partition
  UNION ALL
  SELECT k_partition, 0, 0, 0, 0, 0, 0, 0, 0, count() FROM dead_letters FINAL
  WHERE topic = {topic:String} AND k_offset < {covered:Array(UInt64)}[k_partition + 1] GROUP BY k_partition)
GROUP BY k_partition
ORDER BY k_partition
