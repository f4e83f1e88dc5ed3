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
  subscription String COMMENT 'id of the subscription',
  plan String COMMENT 'name in the catalogue',
  meter String COMMENT 'name in the catalogue',
  meter_version String COMMENT 'hash of its definition; a running subscription keeps its version',
  grp String COMMENT 'group-by values as a JSON array in the meter''s order; null where absent',
  period_start DateTime64(3, 'UTC') COMMENT 'start of the first period that is not billed; whole panes from here on are counted',
  events UInt64 COMMENT 'events that count',
  invalid UInt64 COMMENT 'of them, events whose value the meter cannot use: left out of value',
  value Decimal(38, 12) COMMENT 'sum, or number for a count',
  late UInt64 COMMENT 'of them, events that came after their pane was sealed; counted from raw until it is sealed again',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT s.customer AS customer, s.subscription AS subscription, s.plan AS plan, u.meter AS meter,
  u.meter_version AS meter_version, u.grp AS grp, s.billed_through AS period_start, sum(u.events) AS events,
  sum(u.invalid) AS invalid, sum(u.value) AS value, sum(u.late) AS late, any(f.tick) AS tick, any(f.as_of) AS as_of,
  any(f.stored_to) AS stored_to
FROM usage_by_pane AS u
INNER JOIN (SELECT * FROM subscriptions FINAL WHERE status = 'active') AS s ON u.customer = s.customer
CROSS JOIN freshness AS f
WHERE u.pane >= s.billed_through AND (s.ends_at IS NULL OR u.pane < s.ends_at)
GROUP BY s.customer, s.subscription, s.plan, u.meter, u.meter_version, u.grp, s.billed_through
COMMENT 'Usage of each running subscription that no invoice covers yet';

CREATE VIEW v_usage_daily (
  customer String COMMENT 'who pays; the subject itself where it belongs to nobody',
  day Date COMMENT 'UTC',
  meter String COMMENT 'name in the catalogue',
  meter_version String COMMENT 'hash of its definition; a running subscription keeps its version',
  grp String COMMENT 'group-by values as a JSON array in the meter''s order; null where absent',
  events UInt64 COMMENT 'events that count',
  invalid UInt64 COMMENT 'of them, events whose value the meter cannot use: left out of value',
  value Decimal(38, 12) COMMENT 'sum, or number for a count',
  late UInt64 COMMENT 'of them, events that came after their pane was sealed; counted from raw until it is sealed again',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT u.customer AS customer, toDate(u.pane) AS day, u.meter AS meter, u.meter_version AS meter_version, u.grp AS grp,
  sum(u.events) AS events, sum(u.invalid) AS invalid, sum(u.value) AS value, sum(u.late) AS late, any(f.tick) AS tick,
  any(f.as_of) AS as_of, any(f.stored_to) AS stored_to
FROM usage_by_pane AS u CROSS JOIN freshness AS f
GROUP BY u.customer, toDate(u.pane), u.meter, u.meter_version, u.grp
COMMENT 'Usage per customer, meter, group and day';

CREATE VIEW v_usage_monthly (
  customer String COMMENT 'who pays; the subject itself where it belongs to nobody',
  month Date COMMENT 'first day of the month, UTC',
  meter String COMMENT 'name in the catalogue',
  meter_version String COMMENT 'hash of its definition; a running subscription keeps its version',
  grp String COMMENT 'group-by values as a JSON array in the meter''s order; null where absent',
  events UInt64 COMMENT 'events that count',
  invalid UInt64 COMMENT 'of them, events whose value the meter cannot use: left out of value',
  value Decimal(38, 12) COMMENT 'sum, or number for a count',
  late UInt64 COMMENT 'of them, events that came after their pane was sealed; counted from raw until it is sealed again',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT d.customer AS customer, toStartOfMonth(d.day) AS month, d.meter AS meter, d.meter_version AS meter_version,
  d.grp AS grp, sum(d.events) AS events, sum(d.invalid) AS invalid, sum(d.value) AS value, sum(d.late) AS late,
  any(d.tick) AS tick, any(d.as_of) AS as_of, any(d.stored_to) AS stored_to
FROM v_usage_daily AS d
GROUP BY d.customer, toStartOfMonth(d.day), d.meter, d.meter_version, d.grp
COMMENT 'Usage per customer, meter, group and month';

CREATE VIEW v_invoices (
  document_id UUID COMMENT 'derived from what it bills',
  number String COMMENT 'empty for a draft',
  kind String COMMENT 'invoice or credit_note',
  status String COMMENT 'draft, open, paid',
  customer String COMMENT 'who pays',
  currency String COMMENT 'ISO 4217, or a custom unit',
  period_start DateTime64(3, 'UTC') COMMENT 'first instant billed',
  period_end DateTime64(3, 'UTC') COMMENT 'exclusive',
  issued_at DateTime64(3, 'UTC') COMMENT 'time of the tick that made it, not a clock',
  subtotal Decimal(38, 12) COMMENT 'sum of the rounded lines',
  tax Decimal(38, 12) COMMENT 'sum of the taxes',
  total Decimal(38, 12) COMMENT 'with tax',
  amount_due Decimal(38, 12) COMMENT 'total less credits applied',
  content_sha256 String COMMENT 'of the canonical JSON of the billed content',
  close_id UUID COMMENT 'the close whose frozen usage it bills',
  invoice_tick UInt64 COMMENT 'the tick whose vector the invoice covers',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT i.document_id AS document_id, i.number AS number, i.kind AS kind, i.status AS status, i.customer AS customer,
  i.currency AS currency, i.period_start AS period_start, i.period_end AS period_end, i.issued_at AS issued_at,
  i.subtotal AS subtotal, i.tax AS tax, i.total AS total, i.amount_due AS amount_due,
  i.content_sha256 AS content_sha256, i.close_id AS close_id, i.tick AS invoice_tick, f.tick AS tick, f.as_of AS as_of,
  f.stored_to AS stored_to
FROM (SELECT * FROM invoices FINAL) AS i CROSS JOIN freshness AS f
COMMENT 'Invoices and credit notes, each in its latest revision';

CREATE VIEW v_invoice_lines (
  document_id UUID COMMENT 'the invoice',
  number String COMMENT 'of the invoice; empty for a draft',
  customer String COMMENT 'who pays',
  line UInt32 COMMENT 'place on the invoice, from 0',
  subscription String COMMENT 'id of the subscription',
  charge String COMMENT 'id of the rate card or fee',
  meter String COMMENT 'empty for a fee',
  period_start DateTime64(3, 'UTC') COMMENT 'first instant of the service billed',
  period_end DateTime64(3, 'UTC') COMMENT 'exclusive',
  quantity Decimal(38, 12) COMMENT 'used, before conversion and free units',
  amount Decimal(38, 12) COMMENT 'rounded once; the only one in sums',
  amount_exact String COMMENT 'before its rounding, for the audit',
  currency String COMMENT 'ISO 4217, or a custom unit',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT l.document_id AS document_id, i.number AS number, l.customer AS customer, l.line AS line,
  l.subscription AS subscription, l.charge AS charge, l.meter AS meter, l.period_start AS period_start,
  l.period_end AS period_end, l.quantity AS quantity, l.amount AS amount, l.amount_exact AS amount_exact,
  l.currency AS currency, f.tick AS tick, f.as_of AS as_of, f.stored_to AS stored_to
FROM (SELECT * FROM invoice_lines FINAL) AS l
INNER JOIN (SELECT document_id, number FROM invoices FINAL) AS i ON l.document_id = i.document_id
CROSS JOIN freshness AS f
COMMENT 'Lines of invoices and credit notes';

CREATE VIEW v_ingest_coverage (
  topic String COMMENT 'without the deployment''s prefix',
  k_partition UInt16 COMMENT 'partition of the topic',
  covered UInt64 COMMENT 'everything below is stored without a gap (exclusive)',
  reached UInt64 COMMENT 'greatest stored position; more than covered only if a range is missing',
  gaps UInt64 COMMENT 'ranges that are missing',
  events UInt64 COMMENT 'accepted records below reached, copies included',
  corrections UInt64 COMMENT 'corrections below reached',
  dead_letters UInt64 COMMENT 'refused records below reached',
  controls UInt64 COMMENT 'offsets without a record: transaction markers, aborted or compacted records',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest record that is stored'
) AS
SELECT topic, k_partition, if(countIf(gap) = 0, max(next_offset), minIf(before, gap)) AS covered,
  max(next_offset) AS reached, countIf(gap) AS gaps, max(l.events) AS events, max(l.corrections) AS corrections,
  max(l.dead_letters) AS dead_letters, max(l.controls) AS controls, max(l.appended_at) AS stored_to
FROM (
  SELECT *,
    max(next_offset) OVER (PARTITION BY topic, k_partition ORDER BY first_offset, next_offset
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before,
    row_number() OVER (PARTITION BY topic, k_partition ORDER BY first_offset, next_offset) > 1
      AND first_offset > before AS gap
  FROM (SELECT topic, k_partition, first_offset, next_offset, events, corrections, dead_letters, controls, appended_at
    FROM ledger FINAL)) AS l
GROUP BY topic, k_partition
COMMENT 'How far each partition of each input log is stored, and where its records ended';

CREATE VIEW v_dead_letters (
  topic String COMMENT 'where the record came from, without the deployment''s prefix',
  reason String COMMENT 'why it was refused: a word of the contract',
  source String COMMENT 'the producer, where it could be read',
  records UInt64 COMMENT 'how many',
  first_seen DateTime64(3, 'UTC') COMMENT 'broker time of the first',
  last_seen DateTime64(3, 'UTC') COMMENT 'broker time of the last',
  example String COMMENT 'the detail of one of them',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT d.topic AS topic, d.reason AS reason, d.source AS source, count() AS records, min(d.appended_at) AS first_seen,
  max(d.appended_at) AS last_seen, any(d.detail) AS example, any(f.tick) AS tick, any(f.as_of) AS as_of,
  any(f.stored_to) AS stored_to
FROM (SELECT * FROM dead_letters FINAL) AS d CROSS JOIN freshness AS f
GROUP BY d.topic, d.reason, d.source
COMMENT 'Refused records by reason and producer';
