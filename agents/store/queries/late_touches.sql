-- late_touches: per customer and hour of event time, the records of usage.events and billing.attributions that lie
-- below a tick's vector and beyond that of an earlier tick, and change usage before a moment: late events, those that
-- corrections take away or put in their place, and all usage of subjects that changed hands, for both owners.
WITH
  moved AS (
    SELECT subject, min(effective_from) AS since, min(k_offset) AS first FROM attributions
    WHERE k_offset >= {attributions_from:UInt64} AND k_offset < {attributions:UInt64} GROUP BY subject),
  touched AS (
    SELECT subject, ts, k_partition, bitNot(inv_offset) AS k_offset FROM events
    WHERE ts >= {after:DateTime64(3, 'UTC')} AND ts < {before:DateTime64(3, 'UTC')}
      AND bitNot(inv_offset) >= {usage_from:Array(UInt64)}[k_partition + 1]
      AND bitNot(inv_offset) < {usage:Array(UInt64)}[k_partition + 1]
    UNION ALL
    SELECT e.subject, e.ts, c.k_partition, c.k_offset
    FROM (
      SELECT subject, ts, source, id FROM events
      WHERE ts >= {after:DateTime64(3, 'UTC')} AND ts < {before:DateTime64(3, 'UTC')}
        AND (source, id) IN (
          SELECT target_source, target_id FROM corrections
          WHERE k_offset >= {usage_from:Array(UInt64)}[k_partition + 1]
            AND k_offset < {usage:Array(UInt64)}[k_partition + 1])) AS e
    INNER JOIN (
      SELECT target_source, target_id, k_partition, k_offset FROM corrections
      WHERE k_offset >= {usage_from:Array(UInt64)}[k_partition + 1]
        AND k_offset < {usage:Array(UInt64)}[k_partition + 1]) AS c
      ON e.source = c.target_source AND e.id = c.target_id
    UNION ALL
    SELECT subject, ts, k_partition, k_offset FROM corrections
    WHERE action = 'replace' AND ts >= {after:DateTime64(3, 'UTC')} AND ts < {before:DateTime64(3, 'UTC')}
      AND k_offset >= {usage_from:Array(UInt64)}[k_partition + 1]
      AND k_offset < {usage:Array(UInt64)}[k_partition + 1]),
  owned AS (
    SELECT if(a.customer = '', t.subject, a.customer) AS customer, t.ts AS ts,
      concat('usage.events/', toString(t.k_partition), '/', toString(t.k_offset)) AS position
    FROM touched AS t ASOF LEFT JOIN ($now) AS a ON t.subject = a.subject AND t.ts >= a.effective_from
    UNION ALL
    SELECT if(a.customer = '', e.subject, a.customer), e.ts,
      concat('billing.attributions/0/', toString(m.first))
    FROM (SELECT subject, ts FROM events
          WHERE ts >= {after:DateTime64(3, 'UTC')} AND ts < {before:DateTime64(3, 'UTC')}
            AND subject IN (SELECT subject FROM moved)) AS e
    INNER JOIN moved AS m ON e.subject = m.subject
    ASOF LEFT JOIN ($now) AS a ON e.subject = a.subject AND e.ts >= a.effective_from
    WHERE e.ts >= m.since
    UNION ALL
    SELECT if(a.customer = '', e.subject, a.customer), e.ts,
      concat('billing.attributions/0/', toString(m.first))
    FROM (SELECT subject, ts FROM events
          WHERE ts >= {after:DateTime64(3, 'UTC')} AND ts < {before:DateTime64(3, 'UTC')}
            AND subject IN (SELECT subject FROM moved)) AS e
    INNER JOIN moved AS m ON e.subject = m.subject
    ASOF LEFT JOIN ($then) AS a ON e.subject = a.subject AND e.ts >= a.effective_from
    WHERE e.ts >= m.since)
SELECT customer, toDateTime64(toStartOfHour(ts), 3, 'UTC') AS hour, uniqExact(position) AS records,
  arraySlice(arraySort(groupUniqArray(position)), 1, {kept:UInt32}) AS positions
FROM owned
WHERE customer IN {customers:Array(String)}
GROUP BY customer, hour
ORDER BY customer, hour
