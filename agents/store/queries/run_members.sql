-- run_members: a unique count in one served span, per customer of a tick's runs, group and window, as of the tick's
-- vector: first what each member comes to, then how much that is together.
WITH
  (SELECT groupUniqArray(customer) FROM billing_runs
   WHERE tick = {tick:UInt64} AND revision = {revision:UInt16}
     AND arrayExists(s -> s.2 = {span_starts:DateTime64(3, 'UTC')} AND s.3 = {ends:DateTime64(3, 'UTC')}, services)) AS due
SELECT customer, grp, from_ms, sum(events), sumIf(events, valid = 0) AS invalid, $value AS value,
  sumWithOverflow(content)
FROM (
  SELECT customer, grp, from_ms, to_ms, valid, if(valid, $member, 0) AS served, countIf(inside) AS events,
    sumWithOverflow(content) AS content
  FROM ($usage_rows)
  WHERE has(due, customer)
  GROUP BY customer, grp, from_ms, to_ms, valid, member)
GROUP BY customer, grp, from_ms
