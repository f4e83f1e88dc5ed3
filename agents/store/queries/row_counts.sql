-- row_counts: rows of a range of usage.events, from one vector to another, by what became of the records; labels of the
-- events that count: late (stored beyond the vector of the first tick after their five minutes), without a customer,
-- without a meter; and at how many different positions there is a row.
WITH
  counted AS (
    SELECT k_partition, k_offset, pane_end, 1 AS one, subject NOT IN (SELECT subject FROM attributions) AS unattributed,
      NOT has({metered:Array(String)}, type) AS unmetered,
      multiIf(r.kind != '', r.kind, (source, id) IN (
        SELECT target_source, target_id FROM corrections WHERE k_offset < {to:Array(UInt64)}[k_partition + 1]),
        'corrected', '') AS fate
    FROM (
      SELECT type, subject, ts, source, id, k_epoch, k_partition, bitNot(inv_offset) AS k_offset,
        toDateTime64(toStartOfFiveMinutes(ts), 3, 'UTC') + INTERVAL 5 MINUTE AS pane_end
      FROM events FINAL
      WHERE bitNot(inv_offset) >= {from:Array(UInt64)}[k_partition + 1]
        AND bitNot(inv_offset) < {to:Array(UInt64)}[k_partition + 1]) AS e
    LEFT JOIN (
      SELECT type, subject, ts, source, id, k_epoch, k_partition, toString(kind) AS kind FROM retractions FINAL) AS r
      USING (type, subject, ts, source, id, k_epoch, k_partition)),
  others AS (
    SELECT k_partition, k_offset, 'correction' AS what FROM corrections FINAL
    UNION ALL SELECT k_partition, k_offset, 'dead letter' FROM dead_letters FINAL WHERE topic = {topic:String}
    UNION ALL SELECT k_partition, k_offset, toString(kind) FROM copies FINAL)
SELECT k_partition, sum(events), sum(duplicates), sum(conflicts), sum(corrected), sum(late), sum(unattributed),
  sum(unmetered), sum(corrections), sum(dead_letters), sum(copies), sum(conflicting_copies), sum(controls), sum(expired),
  groupBitmapMerge(positions)
FROM (
  SELECT c.k_partition AS k_partition, count() AS events, countIf(fate = 'duplicate') AS duplicates,
    countIf(fate = 'conflict') AS conflicts, countIf(fate = 'corrected') AS corrected,
    countIf(fate = '' AND notEmpty(usage) AND k_offset >= usage[k_partition + 1]) AS late,
    countIf(fate = '' AND unattributed) AS unattributed, countIf(fate = '' AND unmetered) AS unmetered,
    0 AS corrections, 0 AS dead_letters, 0 AS copies, 0 AS conflicting_copies, 0 AS controls, 0 AS expired,
    groupBitmapState(k_offset) AS positions
  FROM counted AS c
  ASOF LEFT JOIN (SELECT 1 AS one, time, usage FROM ticks FINAL) AS ended
    ON c.one = ended.one AND c.pane_end <= ended.time
  GROUP BY c.k_partition
  UNION ALL
  SELECT k_partition, 0, 0, 0, 0, 0, 0, 0, countIf(what = 'correction'), countIf(what = 'dead letter'),
    countIf(what = 'duplicate'), countIf(what = 'conflict'), 0, 0, groupBitmapState(k_offset)
  FROM others
  WHERE k_offset >= {from:Array(UInt64)}[k_partition + 1] AND k_offset < {to:Array(UInt64)}[k_partition + 1]
  GROUP BY k_partition
  UNION ALL
  SELECT k_partition, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, sumIf(length, why = 'control'), sumIf(length, why = 'expired'),
    groupBitmapStateIf(first_offset, 0)
  FROM (
    SELECT k_partition, first_offset, why, greatest(first_offset, {from:Array(UInt64)}[k_partition + 1]) AS starts,
      least(next_offset, {to:Array(UInt64)}[k_partition + 1]) AS ends, if(ends > starts, ends - starts, 0) AS length
    FROM empty_positions FINAL)
  GROUP BY k_partition)
GROUP BY k_partition
ORDER BY k_partition
