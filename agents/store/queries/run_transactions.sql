-- run_transactions: every valid event of one meter in one served span, for each customer of a tick's runs, as of the
-- tick's vector: what a percentage price is computed from, in order of (event time, arrival).
WITH $due AS due
SELECT customer, grp, from_ms, toUInt64(1) AS events, toUInt64(0) AS invalid, value, content,
  (at, k_offset, k_partition) AS first
FROM $usage_rows
WHERE has(due, customer) AND inside AND valid
ORDER BY customer, first
