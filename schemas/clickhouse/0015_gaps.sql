-- 0015_gaps: numbers that a producer gave out and that never arrived.

-- Every number that is stored, also of records that were refused, each once; `run` counts restarts at 1 in event time,
-- where the producer names no epoch. Copies that were retracted are left out: a re-stamped 1 is no restart.
CREATE VIEW sequence_numbers AS
SELECT source, epoch, if(epoch = '', greatest(1, sum(number = 1) OVER (PARTITION BY source, epoch ORDER BY at, number
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)), 1) AS run, number, at, arrived
FROM (
  SELECT source, epoch, assumeNotNull(given) AS number, at, min(appended_at) AS arrived
  FROM (
    SELECT source, if(position(sequence, '/') = 0, '', substring(sequence, 1, length(sequence) - position(reverse(sequence), '/'))) AS epoch,
      toUInt64OrNull(substring(sequence, if(epoch = '' AND NOT startsWith(sequence, '/'), 1, length(epoch) + 2))) AS given, at, appended_at
    FROM (
      SELECT toString(source) AS source, sequence, ts AS at, appended_at FROM events
      WHERE sequence != '' AND (type, subject, ts, source, id, k_epoch, k_partition) NOT IN (
        SELECT type, subject, ts, source, id, k_epoch, k_partition FROM retractions)
      UNION ALL
      SELECT source, if(inside = '', base64Decode(arrayFirst(h -> h.1 = 'ce_sequence', headers).2), inside),
        ifNull(parseDateTime64BestEffortOrNull(JSONExtractString(payload, 'time'), 3, 'UTC'), appended_at), appended_at
      FROM (
        SELECT *, trim(BOTH '"' FROM JSONExtractRaw(payload, 'sequence')) AS inside FROM dead_letters FINAL
        WHERE topic = 'usage.events' AND source != '')))
  WHERE given > 0
  GROUP BY source, epoch, number, at);

CREATE VIEW v_gaps (
  source String COMMENT 'the producer that numbers its events',
  epoch String COMMENT 'what stands before the last / of sequence; empty where the producer names none',
  run UInt64 COMMENT 'without an epoch: which restart at 1 this is, from 1',
  first_missing UInt64 COMMENT 'first number of the gap',
  last_missing UInt64 COMMENT 'last number of the gap',
  missing UInt64 COMMENT 'how many numbers are missing',
  state String COMMENT 'open, or waiting: for ten minutes of broker time the missing may still be under way',
  revealed_at DateTime64(3, 'UTC') COMMENT 'broker time of the earliest record that has a number behind the gap',
  before_gap Nullable(DateTime64(3, 'UTC')) COMMENT 'event time of the number before the gap; null if there is none',
  after_gap DateTime64(3, 'UTC') COMMENT 'event time of the number behind the gap',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT g.source AS source, g.epoch AS epoch, g.run AS run, toUInt64(g.before + 1) AS first_missing,
  toUInt64(g.number - 1) AS last_missing, toUInt64(g.number - g.before - 1) AS missing,
  if(g.revealed_at + INTERVAL 10 MINUTE <= n.broker_time, 'open', 'waiting') AS state, g.revealed_at AS revealed_at,
  if(g.before_at = toDateTime64(0, 3, 'UTC'), NULL, g.before_at) AS before_gap, g.at AS after_gap, f.tick AS tick, f.as_of AS as_of, f.stored_to AS stored_to
FROM (
  SELECT source, epoch, run, number, at,
    lagInFrame(number, 1, if(epoch = '' AND run = 1, toUInt64(number - 1), toUInt64(0))) OVER same AS before,
    lagInFrame(at, 1, toDateTime64(0, 3, 'UTC')) OVER same AS before_at,
    min(arrived) OVER (PARTITION BY source, epoch, run ORDER BY number DESC
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS revealed_at
  FROM (SELECT source, epoch, run, number, min(at) AS at, min(arrived) AS arrived FROM sequence_numbers
    GROUP BY source, epoch, run, number)
  WINDOW same AS (PARTITION BY source, epoch, run ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS g
CROSS JOIN (SELECT max(appended_at) AS broker_time FROM ledger) AS n
CROSS JOIN freshness AS f
WHERE g.number > g.before + 1
COMMENT 'Numbers of a producer that never arrived; a late arrival closes a gap, a restart at 1 is none';
