-- recurring_months: per currency and month how recurring revenue changed, and of how many customers.
SELECT currency, month, sum(opening) AS opened, sum(new) AS gained, sum(reactivation) AS regained,
  sum(expansion) AS expanded, sum(contraction) AS contracted, sum(churn) AS churned, sum(closing) AS closed,
  countIf(closing > 0) AS customers, countIf(closing = 0) AS customers_lost
FROM v_mrr_changes WHERE {customer:String} = '' OR customer = {customer:String}
GROUP BY currency, month
ORDER BY currency, month
