-- 0004_views: what readers may rely on. Names that begin with v_ are a versioned contract; the rest may change.
-- "Current" comes from the last tick, never from a clock. Freshness: `tick`, its time `as_of`, and `stored_to`, the
-- broker time of the newest usage that is stored.

CREATE VIEW counted_events_now AS
SELECT type, subject, ts, source, id, k_partition, bitNot(inv_offset) AS k_offset, appended_at, data, if(exact = '', data, exact) AS d
FROM events FINAL
WHERE (source, id) NOT IN (SELECT target_source, target_id FROM corrections)
  AND (type, subject, ts, source, id, k_epoch, k_partition) NOT IN (
    SELECT type, subject, ts, source, id, k_epoch, k_partition FROM retractions)
UNION ALL
SELECT newest.2, newest.3, newest.4, target_source, target_id, newest.5, newest.6, newest.7, newest.8, newest.9
FROM (
  SELECT target_source, target_id,
    argMax(tuple(action, type, subject, ts, k_partition, k_offset, appended_at, data, if(exact = '', data, exact)),
      (appended_at, k_partition, k_offset)) AS newest
  FROM corrections GROUP BY target_source, target_id)
WHERE newest.1 = 'replace';

-- Replaced by the sealer with one branch per meter version; empty until a catalogue was applied.
CREATE VIEW metered_events AS
SELECT '' AS meter, '' AS meter_version, subject, ts, source, id, k_partition, k_offset, appended_at, '[]' AS grp,
  toUInt8(0) AS valid, toDecimal128(0, 12) AS value
FROM counted_events_now WHERE 0;

CREATE VIEW freshness AS
SELECT t.number AS tick, t.time AS as_of, l.stored_to AS stored_to
FROM (SELECT max(number) AS number, max(time) AS time FROM ticks FINAL) AS t
CROSS JOIN (SELECT max(appended_at) AS stored_to FROM ledger WHERE topic = 'usage.events') AS l;

CREATE VIEW attributions_now AS
SELECT subject, effective_from, argMax(customer, k_offset) AS customer FROM attributions GROUP BY subject, effective_from;

-- Sealed panes, and what has come since they were sealed: never counted twice, never left out.
CREATE VIEW usage_by_pane AS
SELECT if(a.customer = '', u.subject, a.customer) AS customer, u.subject AS subject, u.meter AS meter,
  u.meter_version AS meter_version, u.pane AS pane, u.grp AS grp, u.events AS events, u.invalid AS invalid,
  u.value AS value, u.late AS late
FROM (
  SELECT subject, meter, meter_version, pane, grp, events, invalid, total AS value, toUInt64(0) AS late
  FROM pane_totals FINAL WHERE events > 0
  UNION ALL
  SELECT m.subject, m.meter, m.meter_version, m.pane, m.grp, toUInt64(1), toUInt64(m.valid = 0), m.value,
    toUInt64(length(s.vector) > 0)
  FROM (SELECT *, toStartOfInterval(ts, INTERVAL 5 MINUTE) AS pane FROM metered_events) AS m
  LEFT JOIN (SELECT meter, meter_version, pane, vector FROM seals FINAL) AS s
    ON m.meter = s.meter AND m.meter_version = s.meter_version AND m.pane = s.pane
  WHERE m.k_offset >= s.vector[m.k_partition + 1]) AS u
ASOF LEFT JOIN attributions_now AS a
  ON u.subject = a.subject AND toDateTime64(u.pane, 3, 'UTC') >= a.effective_from;

CREATE VIEW v_usage_current (
  customer String COMMENT 'who pays',
  subscription String,
  plan String,
  meter String,
  meter_version String,
  grp String COMMENT 'group-by values as a JSON array in the meter''s order; null where absent',
  period_start DateTime64(3, 'UTC') COMMENT 'start of the first period that is not billed',
  events UInt64,
  invalid UInt64 COMMENT 'events whose value the meter cannot use',
  value Decimal(38, 12),
  late UInt64 COMMENT 'events that came after their pane was sealed and are counted from raw until it is sealed again',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'billing time: the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'broker time of the newest usage that is stored'
) AS
SELECT s.customer, s.subscription, s.plan, u.meter, u.meter_version, u.grp, s.billed_through, sum(u.events),
  sum(u.invalid), sum(u.value), sum(u.late), any(f.tick), any(f.as_of), any(f.stored_to)
FROM usage_by_pane AS u
INNER JOIN (SELECT * FROM subscriptions FINAL WHERE status = 'active') AS s ON u.customer = s.customer
CROSS JOIN freshness AS f
WHERE u.pane >= s.billed_through AND (s.ends_at IS NULL OR u.pane < s.ends_at)
GROUP BY s.customer, s.subscription, s.plan, u.meter, u.meter_version, u.grp, s.billed_through;

CREATE VIEW v_usage_daily (
  customer String,
  day Date COMMENT 'UTC',
  meter String,
  meter_version String,
  grp String COMMENT 'group-by values as a JSON array in the meter''s order; null where absent',
  events UInt64,
  invalid UInt64,
  value Decimal(38, 12),
  tick UInt64,
  as_of DateTime64(3, 'UTC'),
  stored_to DateTime64(3, 'UTC')
) AS
SELECT u.customer, toDate(u.pane), u.meter, u.meter_version, u.grp, sum(u.events), sum(u.invalid), sum(u.value),
  any(f.tick), any(f.as_of), any(f.stored_to)
FROM usage_by_pane AS u CROSS JOIN freshness AS f
GROUP BY u.customer, toDate(u.pane), u.meter, u.meter_version, u.grp;

CREATE VIEW v_usage_monthly (
  customer String,
  month Date COMMENT 'first day of the month, UTC',
  meter String,
  meter_version String,
  grp String COMMENT 'group-by values as a JSON array in the meter''s order; null where absent',
  events UInt64,
  invalid UInt64,
  value Decimal(38, 12),
  tick UInt64,
  as_of DateTime64(3, 'UTC'),
  stored_to DateTime64(3, 'UTC')
) AS
SELECT customer, toStartOfMonth(day), meter, meter_version, grp, sum(events), sum(invalid), sum(value), any(tick),
  any(as_of), any(stored_to)
FROM v_usage_daily GROUP BY customer, toStartOfMonth(day), meter, meter_version, grp;

CREATE VIEW v_invoices (
  document_id UUID,
  number String COMMENT 'empty for a draft',
  status String COMMENT 'draft, open, paid',
  customer String,
  currency String,
  period_start DateTime64(3, 'UTC'),
  period_end DateTime64(3, 'UTC'),
  issued_at DateTime64(3, 'UTC') COMMENT 'time of the tick that made it',
  total Decimal(38, 12),
  amount_due Decimal(38, 12),
  content_sha256 String COMMENT 'of the canonical JSON of the document',
  tick UInt64 COMMENT 'the tick whose vector the invoice covers',
  as_of DateTime64(3, 'UTC'),
  stored_to DateTime64(3, 'UTC')
) AS
SELECT i.document_id, i.number, i.status, i.customer, i.currency, i.period_start, i.period_end, i.issued_at, i.total,
  i.amount_due, i.content_sha256, i.tick, f.as_of, f.stored_to
FROM (SELECT * FROM invoices FINAL) AS i CROSS JOIN freshness AS f;

CREATE VIEW v_invoice_lines (
  document_id UUID,
  number String,
  customer String,
  line UInt32,
  subscription String,
  charge String,
  meter String COMMENT 'empty for a fee',
  period_start DateTime64(3, 'UTC'),
  period_end DateTime64(3, 'UTC'),
  quantity Decimal(38, 12),
  amount Decimal(38, 12) COMMENT 'rounded once; the only one in sums',
  amount_exact String,
  currency String,
  as_of DateTime64(3, 'UTC'),
  stored_to DateTime64(3, 'UTC')
) AS
SELECT l.document_id, i.number, l.customer, l.line, l.subscription, l.charge, l.meter, l.period_start, l.period_end,
  l.quantity, l.amount, l.amount_exact, l.currency, f.as_of, f.stored_to
FROM (SELECT * FROM invoice_lines FINAL) AS l
INNER JOIN (SELECT document_id, number FROM invoices FINAL) AS i ON l.document_id = i.document_id
CROSS JOIN freshness AS f;

CREATE VIEW v_ingest_coverage (
  topic String,
  k_partition UInt16,
  covered UInt64 COMMENT 'everything below is stored without a gap (exclusive)',
  reached UInt64 COMMENT 'greatest stored position; more than covered only if a range is missing',
  gaps UInt64,
  events UInt64 COMMENT 'cumulative, as the last ledger row counts',
  corrections UInt64,
  dead_letters UInt64,
  controls UInt64,
  stored_to DateTime64(3, 'UTC') COMMENT 'broker time of the newest record'
) AS
SELECT topic, k_partition, if(countIf(gap) = 0, max(next_offset), minIf(before, gap)), max(next_offset), countIf(gap),
  max(events), max(corrections), max(dead_letters), max(controls), max(appended_at)
FROM (
  SELECT *,
    max(next_offset) OVER (PARTITION BY topic, k_partition ORDER BY first_offset, next_offset
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before,
    row_number() OVER (PARTITION BY topic, k_partition ORDER BY first_offset, next_offset) > 1
      AND first_offset > before AS gap
  FROM (SELECT topic, k_partition, first_offset, next_offset, events, corrections, dead_letters, controls, appended_at
    FROM ledger FINAL))
GROUP BY topic, k_partition;

CREATE VIEW v_dead_letters (
  topic String,
  reason String,
  source String COMMENT 'the producer, where it could be read',
  records UInt64,
  first_seen DateTime64(3, 'UTC') COMMENT 'broker time',
  last_seen DateTime64(3, 'UTC'),
  example String COMMENT 'the detail of one of them',
  stored_to DateTime64(3, 'UTC')
) AS
SELECT d.topic, d.reason, d.source, count(), min(d.appended_at), max(d.appended_at), any(d.detail), any(f.stored_to)
FROM (SELECT * FROM dead_letters FINAL) AS d CROSS JOIN freshness AS f
GROUP BY d.topic, d.reason, d.source;
