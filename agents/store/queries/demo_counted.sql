-- demo_counted: events that count, and how many of them are late: stored beyond the vector of the first tick after
-- their five minutes.
SELECT count(), countIf(notEmpty(usage) AND k_offset >= usage[k_partition + 1])
FROM (
  SELECT 1 AS one, k_partition, k_offset, toDateTime64(toStartOfFiveMinutes(ts), 3, 'UTC') + INTERVAL 5 MINUTE AS pane_end
  FROM events FINAL
  WHERE (type, subject, ts, source, id, k_epoch, k_partition) NOT IN (
    SELECT type, subject, ts, source, id, k_epoch, k_partition FROM retractions)) AS counted
ASOF LEFT JOIN (SELECT 1 AS one, time, usage FROM ticks FINAL) AS ended
  ON counted.one = ended.one AND counted.pane_end <= ended.time
