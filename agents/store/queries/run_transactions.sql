-- run_transactions: every valid event of one meter in one served span, for each customer of a tick's runs, as of the
-- tick's vector: what a percentage price is computed from, in order of (event time, arrival). Of more than $limit of a
-- customer the others are one row, which no price takes.
WITH $due AS due
SELECT customer, any(grp), any(from_ms), count() AS events, toUInt64(0) AS invalid,
  if(events = 1, any(value), toDecimal128(0, 12)) AS worth, sumWithOverflow(content), min(place_of) AS first
FROM (
  SELECT customer, grp, from_ms, value, content, (at, k_offset, k_partition) AS place_of,
    least(row_number() OVER (PARTITION BY customer ORDER BY at, k_offset, k_partition), $limit + 1) AS place
  FROM $usage_rows
  WHERE has(due, customer) AND inside AND valid)
GROUP BY customer, place
ORDER BY customer, first
