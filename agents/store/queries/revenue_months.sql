-- revenue_months: per currency and month what was invoiced, recognised and earned, and what is deferred and unbilled at its end.
SELECT currency, month, invoiced_in AS invoiced, recognised_in AS recognised, earned_in AS earned,
  sum(invoiced_in - recognised_in) OVER so_far AS deferred, sum(earned_in - recognised_in) OVER so_far AS unbilled,
  month > (SELECT toStartOfMonth(toDate(as_of, 'UTC')) FROM freshness) AS to_come
FROM (
  SELECT currency, month, sum(invoiced) AS invoiced_in, sum(recognised) AS recognised_in, sum(earned) AS earned_in
  FROM v_revenue WHERE {customer:String} = '' OR customer = {customer:String} GROUP BY currency, month
)
WINDOW so_far AS (PARTITION BY currency ORDER BY month ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
ORDER BY currency, month
