-- 0028_accrued: v_revenue says what unbilled revenue leaves out. The definition is that of 0020.

DROP VIEW IF EXISTS v_revenue;
CREATE VIEW v_revenue (
  customer String COMMENT 'who pays',
  currency String COMMENT 'ISO 4217, or a custom unit',
  month Date COMMENT 'its first day; months to come hold what is deferred to them',
  invoiced Decimal(38, 12) COMMENT 'net of documents issued in the month, less credit notes',
  recognised Decimal(38, 12) COMMENT 'of what is invoiced: earned in the month, or before it and invoiced in it',
  earned Decimal(38, 12) COMMENT 'by local days of service, whenever it is invoiced',
  deferred Decimal(38, 12) COMMENT 'at the end of the month: invoiced to then less recognised to then',
  unbilled Decimal(38, 12) COMMENT 'at the end of the month: earned on documents that were issued later; usage of open periods has none yet: tally revenue --open-usage',
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
