-- 0020_revenue: revenue of final documents over the days in which it is earned; recurring revenue; taxes.

-- Functions of billing.finalisations and the catalogue, stored with the postings of a document.
CREATE TABLE revenue_lines (
  document UUID,
  line UInt32,
  customer String,
  currency LowCardinality(String),
  minor_units UInt8,
  subscription String,
  plan LowCardinality(String),
  charge LowCardinality(String),
  issued_at DateTime64(3, 'UTC'),
  first_day Date COMMENT 'first local day of its service',
  days UInt32 COMMENT 'local days of its service, at least 1',
  net Decimal(38, 12) COMMENT 'booked as revenue; negative for a credit note',
  monthly Decimal(38, 12) COMMENT 'of a recurring fee: what it comes to in a month; else 0'
) ENGINE = ReplacingMergeTree
ORDER BY (document, line)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Per line the months of its service and of its issue. The first k of n days have earned round(net * k / n), half away
-- from zero at the minor unit, so that months add up to the net exactly (pipeline/revenue.py says the same).
CREATE VIEW revenue_by_month AS
SELECT customer, currency, month, toStartOfMonth(toDate(issued_at, 'UTC')) AS issued_month, net,
  toDecimal128(sign(units) * intDiv(2 * abs(units) * least(greatest(dateDiff('day', first_day, month), 0), days) + days, 2 * days), 12)
    / intExp10(minor_units) AS earned_before,
  toDecimal128(sign(units) * intDiv(2 * abs(units) * least(greatest(dateDiff('day', first_day, addMonths(month, 1)), 0), days) + days, 2 * days), 12)
    / intExp10(minor_units) AS earned_to,
  earned_to - earned_before AS earned_in,
  if(month = issued_month, net, toDecimal128(0, 12)) AS invoiced_in,
  multiIf(month < issued_month, toDecimal128(0, 12), month = issued_month, earned_to, earned_in) AS recognised_in
FROM (
  SELECT *, toInt64(days) AS days, toInt256(toDecimal256(net, 12) * intExp10(minor_units)) AS units,
    arrayJoin(arrayDistinct(arrayPushBack(
      arrayMap(step -> addMonths(toStartOfMonth(first_day), step),
        range(toUInt32(dateDiff('month', toStartOfMonth(first_day), first_day + days - 1)) + 1)),
      toStartOfMonth(toDate(issued_at, 'UTC'))))) AS month
  FROM revenue_lines FINAL
);

CREATE VIEW v_revenue (
  customer String COMMENT 'who pays',
  currency String COMMENT 'ISO 4217, or a custom unit',
  month Date COMMENT 'its first day; months to come hold what is deferred to them',
  invoiced Decimal(38, 12) COMMENT 'net of documents issued in the month, less credit notes',
  recognised Decimal(38, 12) COMMENT 'of what is invoiced: earned in the month, or before it and invoiced in it',
  earned Decimal(38, 12) COMMENT 'by local days of service, whenever it is invoiced',
  deferred Decimal(38, 12) COMMENT 'at the end of the month: invoiced to then less recognised to then',
  unbilled Decimal(38, 12) COMMENT 'at the end of the month: earned on documents that were issued later',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT m.customer AS customer, m.currency AS currency, m.month AS month, m.invoiced AS invoiced,
  m.recognised AS recognised, m.earned AS earned,
  sum(m.invoiced - m.recognised) OVER (PARTITION BY m.customer, m.currency ORDER BY m.month
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS deferred,
  sum(m.earned - m.recognised) OVER (PARTITION BY m.customer, m.currency ORDER BY m.month
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS unbilled,
  f.tick AS tick, f.as_of AS as_of,
  f.stored_to AS stored_to
FROM (
  SELECT customer, currency, month, sum(invoiced_in) AS invoiced, sum(recognised_in) AS recognised,
    sum(earned_in) AS earned
  FROM revenue_by_month GROUP BY customer, currency, month
) AS m CROSS JOIN freshness AS f
COMMENT 'Revenue by month: invoiced = recognised + change of deferred; earned = recognised + change of unbilled';

CREATE VIEW v_revenue_lines (
  document_id UUID COMMENT 'the invoice or credit note',
  line UInt32 COMMENT 'place on the document, from 0',
  customer String COMMENT 'who pays',
  currency String COMMENT 'ISO 4217, or a custom unit',
  subscription String COMMENT 'id of the subscription',
  plan String COMMENT 'name of the plan; empty for a line that no plan has',
  charge String COMMENT 'id of the rate card or fee',
  issued_at DateTime64(3, 'UTC') COMMENT 'issue date of the document',
  first_day Date COMMENT 'first local day of its service',
  days UInt32 COMMENT 'local days over which it is earned evenly, at least 1',
  net Decimal(38, 12) COMMENT 'booked as revenue; negative for a credit note',
  monthly Decimal(38, 12) COMMENT 'of a recurring fee: what it comes to in a month; else 0',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT l.document AS document_id, l.line AS line, l.customer AS customer, l.currency AS currency,
  l.subscription AS subscription, l.plan AS plan, l.charge AS charge, l.issued_at AS issued_at,
  l.first_day AS first_day, l.days AS days, l.net AS net, l.monthly AS monthly, f.tick AS tick, f.as_of AS as_of,
  f.stored_to AS stored_to
FROM (SELECT * FROM revenue_lines FINAL) AS l CROSS JOIN freshness AS f
COMMENT 'What lines of final documents booked as revenue, and the days in which it is earned';

CREATE VIEW v_mrr (
  customer String COMMENT 'who pays',
  currency String COMMENT 'ISO 4217, or a custom unit',
  month Date COMMENT 'its first day; only months that have ended',
  mrr Decimal(38, 12) COMMENT 'recurring fees that run on the last day of the month, each as so much a month, after discounts, without tax',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT m.customer AS customer, m.currency AS currency, m.month AS month, sum(m.monthly) AS mrr, any(f.tick) AS tick,
  any(f.as_of) AS as_of, any(f.stored_to) AS stored_to
FROM (
  SELECT customer, currency, monthly, arrayJoin(arrayFilter(each -> addMonths(each, 1) <= first_day + days,
      arrayMap(step -> addMonths(toStartOfMonth(first_day), step),
        range(toUInt32(dateDiff('month', toStartOfMonth(first_day), first_day + days - 1)) + 1)))) AS month
  FROM revenue_lines FINAL WHERE monthly != 0
) AS m CROSS JOIN freshness AS f
WHERE addMonths(m.month, 1) <= toDate(f.as_of, 'UTC')
GROUP BY m.customer, m.currency, m.month
HAVING mrr != 0
COMMENT 'Monthly recurring revenue per customer; a fee in arrears counts once it is invoiced, for the months that it was for';

CREATE VIEW v_mrr_changes (
  customer String COMMENT 'who pays',
  currency String COMMENT 'ISO 4217, or a custom unit',
  month Date COMMENT 'its first day; only months that have ended',
  opening Decimal(38, 12) COMMENT 'recurring revenue at the end of the month before',
  new Decimal(38, 12) COMMENT 'of a customer that had none ever',
  reactivation Decimal(38, 12) COMMENT 'of a customer that had some earlier, and none in the month before',
  expansion Decimal(38, 12) COMMENT 'what it grew by',
  contraction Decimal(38, 12) COMMENT 'what it shrank by, negative, and something is left',
  churn Decimal(38, 12) COMMENT 'what is gone, negative, and nothing is left',
  closing Decimal(38, 12) COMMENT 'opening with all changes',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT c.customer AS customer, c.currency AS currency, c.month AS month, c.opening AS opening,
  if(c.opening = 0 AND NOT c.had, c.closing, toDecimal128(0, 12)) AS new,
  if(c.opening = 0 AND c.had, c.closing, toDecimal128(0, 12)) AS reactivation,
  if(c.opening != 0 AND c.closing > c.opening, c.closing - c.opening, toDecimal128(0, 12)) AS expansion,
  if(c.closing != 0 AND c.closing < c.opening, c.closing - c.opening, toDecimal128(0, 12)) AS contraction,
  if(c.closing = 0, -c.opening, toDecimal128(0, 12)) AS churn, c.closing AS closing, f.tick AS tick, f.as_of AS as_of,
  f.stored_to AS stored_to
FROM (
  SELECT customer, currency, month, closing,
    if(any(month) OVER before = addMonths(month, -1), any(closing) OVER before, toDecimal128(0, 12)) AS opening,
    max(closing) OVER (PARTITION BY customer, currency ORDER BY month
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) > 0 AS had
  FROM (
    SELECT customer, currency, month, sum(mrr) AS closing
    FROM (
      SELECT customer, currency, month, mrr FROM v_mrr
      UNION ALL
      SELECT customer, currency, addMonths(month, 1), toDecimal128(0, 12) FROM v_mrr
    )
    GROUP BY customer, currency, month
  )
  WINDOW before AS (PARTITION BY customer, currency ORDER BY month ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING)
) AS c CROSS JOIN freshness AS f
WHERE addMonths(c.month, 1) <= toDate(f.as_of, 'UTC') AND (c.opening != 0 OR c.closing != 0)
COMMENT 'How recurring revenue changed, per customer and month: new, reactivation, expansion, contraction, churn';

CREATE VIEW v_tax (
  document_id UUID COMMENT 'the invoice or credit note',
  number String COMMENT 'of the document',
  kind String COMMENT 'invoice, or credit_note: then amounts are negative',
  customer String COMMENT 'who pays',
  country String COMMENT 'of the buyer, ISO 3166-1; empty where it is not known',
  currency String COMMENT 'ISO 4217, or a custom unit',
  issued_at DateTime64(3, 'UTC') COMMENT 'issue date',
  percentage Decimal(38, 12) COMMENT 'the rate',
  exemption String COMMENT 'why there is no tax; empty where there is',
  taxable Decimal(38, 12) COMMENT 'what bears the tax; negative for what is given or taken off',
  tax Decimal(38, 12) COMMENT 'rounded once per document and rate',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT g.document_id AS document_id, g.number AS number, g.kind AS kind, g.customer AS customer,
  g.country AS country, g.currency AS currency, g.issued_at AS issued_at,
  toDecimal128(JSONExtractString(g.part.2, 'percentage'), 12) AS percentage,
  if(JSONExtractString(g.part.2, 'exemption') = 'null', '', JSONExtractString(g.part.2, 'exemption')) AS exemption,
  g.part.1 * toDecimal128(JSONExtractString(g.part.2, 'taxable'), 12) AS taxable,
  g.part.1 * toDecimal128(JSONExtractString(g.part.2, 'tax'), 12) AS tax, f.tick AS tick, f.as_of AS as_of,
  f.stored_to AS stored_to
FROM (
  SELECT document_id, number, kind, customer, JSONExtractString(document, 'buyer', 'country') AS country, currency,
    issued_at, if(kind = 'credit_note', -1, 1) AS sign,
    arrayJoin(arrayConcat(
      arrayMap(each -> (sign, each), JSONExtractArrayRaw(document, 'totals', 'tax_by_rate')),
      arrayFlatten(arrayMap(off -> arrayMap(each -> (-sign, each), JSONExtractArrayRaw(off, 'tax_by_rate')),
        JSONExtractArrayRaw(document, 'deductions'))))) AS part
  FROM invoices FINAL WHERE number != ''
) AS g CROSS JOIN freshness AS f
COMMENT 'Tax by rate and country of the buyer, per final document';
