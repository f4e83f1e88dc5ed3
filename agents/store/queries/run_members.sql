-- run_members: a unique count in one served span, per customer of a tick's runs, group and window, as of the tick's
-- vector: first what each member comes to, then how much that is together. Otherwise as run_usage.
WITH $due AS due
SELECT customer, grp, from_ms, sum(events), sumIf(events, valid = 0) AS invalid, $value AS value,
  sumWithOverflow(content), min(earliest) AS first
FROM (
  SELECT customer, grp, from_ms, to_ms, valid, if(valid, $member, 0) AS served, countIf(inside) AS events,
    sumWithOverflow(content) AS content, min((at, k_offset, k_partition)) AS earliest
  FROM $usage_rows
  WHERE has(due, customer)
  GROUP BY customer, grp, from_ms, to_ms, valid, member)
GROUP BY customer, grp, from_ms
$bound
