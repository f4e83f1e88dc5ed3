-- next_due: the customer whose period is due next, when, and how many customers are due at that time.
SELECT argMin(state, customer), next_due_at, count() FROM customers FINAL
WHERE next_due_at IS NOT NULL
GROUP BY next_due_at
ORDER BY next_due_at
LIMIT 1
