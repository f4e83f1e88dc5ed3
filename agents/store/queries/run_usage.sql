-- run_usage: one meter in one served span, per customer of a tick's runs, group and window, as of the tick's vector.
-- Carried events are in the value and in the fingerprint, not in the counts.
WITH
  (SELECT groupUniqArray(customer) FROM billing_runs
   WHERE tick = {tick:UInt64} AND revision = {revision:UInt16}
     AND arrayExists(s -> s.2 = {span_starts:DateTime64(3, 'UTC')} AND s.3 = {ends:DateTime64(3, 'UTC')}, services)) AS due
SELECT customer, grp, from_ms, countIf(inside) AS events, countIf(inside AND valid = 0) AS invalid, $value AS value,
  sumWithOverflow(content) AS fingerprint
FROM ($usage_rows)
WHERE has(due, customer)
GROUP BY customer, grp, from_ms, to_ms
