-- wallets_to_look_at: customers with a recharge rule, or with something left of a grant that has expired at a time.
SELECT DISTINCT customer FROM (
  SELECT customer, grant_id,
    max(parseDateTime64BestEffortOrNull(JSONExtractString(record, 'terms', 'expires_at'), 3, 'UTC')) AS expires_at,
    sum(amount) AS amount_left, countIf(kind = 'recharge_rule') AS rules
  FROM (SELECT * FROM credit_entries FINAL)
  GROUP BY customer, grant_id
  HAVING rules > 0 OR (expires_at <= {at:DateTime64(3, 'UTC')} AND amount_left > 0)
)
ORDER BY customer
