-- run_usage: one meter in one served span, per customer of a tick's runs and group, as of the tick's vector.
-- The fingerprint is the wrapping sum of a 128-bit hash over position and full content of the events counted.
WITH
  (SELECT groupUniqArray(customer) FROM billing_runs
   WHERE tick = {tick:UInt64} AND revision = {revision:UInt16}
     AND arrayExists(s -> s.2 = {starts:DateTime64(3, 'UTC')} AND s.3 = {ends:DateTime64(3, 'UTC')}, services)) AS due
SELECT customer, grp, count() AS events, countIf(valid = 0) AS invalid, sum(value) AS value,
  sumWithOverflow(content) AS fingerprint
FROM (
  SELECT if(a.customer = '', e.subject, a.customer) AS customer, e.d AS d,
    $group AS grp, $valid AS valid, $value AS value,
    reinterpretAsUInt128(sipHash128(e.type, e.subject, e.ts, e.source, e.id, e.k_partition, e.k_offset, e.data)) AS content
  FROM ($counted_events) AS e
  ASOF LEFT JOIN ($attributions_as_of) AS a ON e.subject = a.subject AND e.ts >= a.effective_from
  WHERE $where)
WHERE has(due, customer)
GROUP BY customer, grp
ORDER BY customer, grp
