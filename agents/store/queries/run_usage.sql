-- run_usage: one meter in one served span, per customer of a tick's runs, group and window, as of the tick's vector.
-- Carried events are in the value and in the fingerprint, not in the counts. $bound keeps one group more than the limit.
WITH $due AS due
SELECT customer, grp, from_ms, countIf(inside) AS events, countIf(inside AND valid = 0) AS invalid, $value AS value,
  sumWithOverflow(content) AS fingerprint, min((at, k_offset, k_partition)) AS first
FROM $usage_rows
WHERE has(due, customer)
GROUP BY customer, grp, from_ms, to_ms
$bound
