-- 0016_lateness: how late usage came, and usage that would be free unseen.

-- Replaced by the sealer: how long after its end a period of a plan version is looked at again.
CREATE VIEW late_horizons AS SELECT '' AS plan, '' AS plan_version, toUInt64(0) AS horizon_s WHERE 0;

-- Spans that were closed, once each, with the vector of the first close, and the vector beyond which nothing is billed.
CREATE VIEW closed_spans AS
SELECT c.customer AS customer, c.starts AS starts, c.ends AS ends, c.closed_to AS closed_to, h.usage AS horizon
FROM (
  SELECT r.customer AS customer, r.starts AS starts, max(r.ends) AS ends, argMin(t.usage, t.number) AS closed_to,
    max(r.ends + INTERVAL if(l.plan = '', 7776000, l.horizon_s) SECOND) AS horizon_at, 1 AS one
  FROM (
    SELECT customer, tick, due.1 AS plan, due.2 AS plan_version, parseDateTime64BestEffort(due.3.1, 3, 'UTC') AS starts,
      parseDateTime64BestEffort(due.3.2, 3, 'UTC') AS ends
    FROM (SELECT customer, tick, arrayJoin(JSONExtract(run, 'periods',
        'Array(Tuple(plan String, plan_version String, service Tuple(start String, end String)))')) AS due
      FROM billing_runs FINAL WHERE (customer, tick, revision) IN (SELECT customer, tick, revision FROM closes))) AS r
  INNER JOIN (SELECT number, usage FROM ticks FINAL) AS t ON r.tick = t.number
  LEFT JOIN late_horizons AS l ON r.plan = l.plan AND r.plan_version = l.plan_version
  WHERE r.ends > r.starts
  GROUP BY r.customer, r.starts) AS c
ASOF LEFT JOIN (SELECT 1 AS one, time, usage FROM ticks FINAL) AS h ON c.one = h.one AND c.horizon_at <= h.time;

-- Each event that counts, with how late it came: its position against vectors. On time: below the vector of the first
-- tick after its five minutes. Late: beyond it. Too late: beyond the vector of the close of its period. Beyond the
-- horizon: stored beyond the first tick at which its period is not looked at again.
CREATE VIEW event_lateness AS
SELECT w.customer AS customer, w.type AS type, w.subject AS subject, w.ts AS ts, w.source AS source, w.id AS id,
  w.k_partition AS k_partition, w.k_offset AS k_offset, w.appended_at AS appended_at,
  multiIf(
    w.ts < s.ends AND notEmpty(s.horizon) AND w.k_offset >= s.horizon[w.k_partition + 1], 'beyond the horizon',
    w.ts < s.ends AND notEmpty(s.closed_to) AND w.k_offset >= s.closed_to[w.k_partition + 1], 'too late',
    notEmpty(w.sealed_to) AND w.k_offset >= w.sealed_to[w.k_partition + 1], 'late',
    'on time') AS lateness
FROM (
  SELECT e.*, p.usage AS sealed_to
  FROM (
    SELECT if(a.customer = '', c.subject, a.customer) AS customer, c.type AS type, c.subject AS subject, c.ts AS ts,
      c.source AS source, c.id AS id, c.k_partition AS k_partition, c.k_offset AS k_offset, c.appended_at AS appended_at,
      toDateTime64(toStartOfFiveMinutes(c.ts), 3, 'UTC') + INTERVAL 5 MINUTE AS pane_end, 1 AS one
    FROM counted_events_now AS c
    ASOF LEFT JOIN attributions_now AS a ON c.subject = a.subject AND c.ts >= a.effective_from) AS e
  ASOF LEFT JOIN (SELECT 1 AS one, time, usage FROM ticks FINAL) AS p ON e.one = p.one AND e.pane_end <= p.time) AS w
ASOF LEFT JOIN closed_spans AS s ON w.customer = s.customer AND w.ts >= s.starts;

CREATE VIEW v_lateness (
  customer String COMMENT 'who pays; the subject itself where it belongs to nobody',
  lateness String COMMENT 'on time; late: after its five minutes were sealed; too late: after the close of its period; beyond the horizon: kept and not billed',
  events UInt64 COMMENT 'events that count as usage',
  first_seen DateTime64(3, 'UTC') COMMENT 'event time of the earliest of them',
  last_seen DateTime64(3, 'UTC') COMMENT 'event time of the latest of them',
  last_arrived DateTime64(3, 'UTC') COMMENT 'broker time of the newest of them',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT l.customer AS customer, l.lateness AS lateness, count() AS events, min(l.ts) AS first_seen, max(l.ts) AS last_seen,
  max(l.appended_at) AS last_arrived, any(f.tick) AS tick, any(f.as_of) AS as_of, any(f.stored_to) AS stored_to
FROM event_lateness AS l CROSS JOIN freshness AS f
GROUP BY l.customer, l.lateness
COMMENT 'How late the usage of each customer came';

-- Replaced by the sealer with one branch per meter version: what each meter counts, and whether it can use its value.
CREATE VIEW measured_events AS SELECT '' AS meter, subject, source, ts, k_partition, k_offset, toUInt8(1) AS valid FROM counted_events_now WHERE 0;

CREATE OR REPLACE VIEW v_leaks (
  leak String COMMENT 'unmetered type, invalid measure, subject without customer, no subscription then, in a pause, or unpriced dimension',
  what String COMMENT 'the type, the meter, the subject, or the customer; of an unpriced dimension customer, meter and values',
  source String COMMENT 'the producer; empty for an unpriced dimension, which a draft shows',
  events UInt64 COMMENT 'how many events',
  first_seen DateTime64(3, 'UTC') COMMENT 'event time of the first; of an unpriced dimension the start of the period',
  last_seen DateTime64(3, 'UTC') COMMENT 'event time of the last; of an unpriced dimension the end of the period',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
WITH
  subscribed AS (SELECT customer, starts_at, ifNull(ends_at, toDateTime64('2299-12-31', 3, 'UTC')) AS ends FROM subscriptions FINAL),
  running AS (
    -- A subscription with its pauses; the state of a customer is the newest.
    SELECT customer, parseDateTime64BestEffort(one.1, 3, 'UTC') AS starts,
      ifNull(parseDateTime64BestEffortOrNull(ifNull(one.2, ''), 3, 'UTC'), toDateTime64('2299-12-31', 3, 'UTC')) AS ends,
      arrayMap(p -> (parseDateTime64BestEffort(p.1, 3, 'UTC'),
        ifNull(parseDateTime64BestEffortOrNull(ifNull(p.2, ''), 3, 'UTC'), toDateTime64('2299-12-31', 3, 'UTC'))), one.3) AS pauses
    FROM (SELECT customer, arrayJoin(JSONExtract(state, 'subscriptions', 'Array(Tuple(starts_at String, ends_at Nullable(String), pauses Array(Tuple(starts_at String, ends_at Nullable(String)))))')) AS one
      FROM customers FINAL)),
  used AS (
    SELECT if(a.customer = '', u.subject, a.customer) AS customer, u.subject AS subject, a.customer != '' AS attributed,
      u.source AS source, u.pane AS pane, u.events AS events, u.first_seen AS first_seen, u.last_seen AS last_seen
    FROM (
      SELECT subject, source, toDateTime64(toStartOfFiveMinutes(ts), 3, 'UTC') AS pane, count() AS events,
        min(ts) AS first_seen, max(ts) AS last_seen
      FROM counted_events_now WHERE type IN (SELECT type FROM metered_types)
      GROUP BY subject, source, pane) AS u
    ASOF LEFT JOIN attributions_now AS a ON u.subject = a.subject AND u.pane >= a.effective_from)
SELECT l.leak, l.what, l.source, l.events, l.first_seen, l.last_seen, f.tick, f.as_of, f.stored_to
FROM (
  SELECT 'unmetered type' AS leak, toString(type) AS what, toString(source) AS source, count() AS events,
    min(ts) AS first_seen, max(ts) AS last_seen
  FROM counted_events_now WHERE type NOT IN (SELECT type FROM metered_types)
  GROUP BY type, source
  UNION ALL
  SELECT 'invalid measure', meter, toString(source), uniqExact(k_partition, k_offset), min(ts), max(ts)
  FROM measured_events WHERE valid = 0
  GROUP BY meter, source
  UNION ALL
  SELECT 'subject without customer', subject, toString(source), sum(used.events), min(used.first_seen), max(used.last_seen)
  FROM used WHERE NOT attributed AND customer NOT IN (SELECT customer FROM subscribed)
  GROUP BY subject, source
  UNION ALL
  SELECT 'no subscription then', customer, toString(source), sum(used.events), min(used.first_seen), max(used.last_seen)
  FROM used
  WHERE (attributed OR customer IN (SELECT customer FROM subscribed))
    AND (customer, source, pane) NOT IN (
      SELECT u.customer, u.source, u.pane FROM used AS u INNER JOIN subscribed AS s ON u.customer = s.customer
      WHERE u.pane >= s.starts_at AND u.pane < s.ends)
  GROUP BY customer, source
  UNION ALL
  SELECT 'in a pause', p.customer, toString(p.source), sum(p.events), min(p.first_seen), max(p.last_seen)
  FROM (
    SELECT u.customer AS customer, u.source AS source, u.pane, any(u.events) AS events, any(u.first_seen) AS first_seen,
      any(u.last_seen) AS last_seen, min(arrayExists(p -> u.pane >= p.1 AND u.pane < p.2, r.pauses)) AS paused
    FROM used AS u INNER JOIN running AS r ON u.customer = r.customer
    WHERE u.pane >= r.starts AND u.pane < r.ends
    GROUP BY u.customer, u.source, u.subject, u.pane) AS p
  WHERE p.paused
  GROUP BY p.customer, p.source
  UNION ALL
  SELECT 'unpriced dimension', concat(l.customer, ' ', l.meter, ' ', JSONExtractRaw(l.record, 'rated', 'dimensions')), '',
    sum(JSONExtractUInt(l.record, 'rated', 'events')), min(l.period_start), max(l.period_end)
  FROM (SELECT * FROM invoice_lines FINAL WHERE JSONExtractString(record, 'rated', 'kind') = 'unpriced') AS l
  WHERE l.document_id IN (SELECT document_id FROM invoices FINAL WHERE status = 'draft')
  GROUP BY l.customer, l.meter, JSONExtractRaw(l.record, 'rated', 'dimensions')) AS l
CROSS JOIN freshness AS f
COMMENT 'Usage that would be free unseen; five minutes decide beside a boundary';
