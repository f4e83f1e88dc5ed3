-- run_usage_from_days: as run_usage, with whole days that are sealed instead of their events. A day is taken where nobody
-- became the owner of its subject after its first event; the others are among the raw rows.
WITH $due AS due
SELECT customer, grp, from_ms, sum(n) AS events, sum(n_invalid) AS invalid, $value AS value,
  sumWithOverflow(content) AS fingerprint, min(first_use) AS first
FROM (
  SELECT if(a.customer = '', d.subject, a.customer) AS customer, $day_group AS grp, toInt64($from_ms) AS from_ms,
    d.events AS n, d.invalid AS n_invalid, toInt256(reinterpretAsInt256(d.total)) AS total, d.least AS least,
    d.greatest AS greatest, d.last AS last_value, tuple(d.last_use.1, d.last_use.2, d.last_use.3) AS last_use,
    tuple(d.first_use.1, d.first_use.2, d.first_use.3) AS first_use, d.fingerprint AS content
  FROM ($day_rows) AS d
  ASOF LEFT JOIN ($attributions_as_of) AS a ON d.subject = a.subject AND d.ends > a.effective_from
  WHERE has(due, customer) AND toUnixTimestamp64Milli(a.effective_from) <= d.first_use.1
  UNION ALL
  SELECT customer, grp, from_ms, countIf(inside), countIf(inside AND valid = 0),
    sumIf(toInt256(reinterpretAsInt128(value)), valid), CAST(minIf(value, valid), 'Decimal(38, 12)'),
    CAST(maxIf(value, valid), 'Decimal(38, 12)'), CAST(argMaxIf(value, (at, k_offset, k_partition), valid), 'Decimal(38, 12)'),
    maxIf((at, k_offset, k_partition), valid), min((at, k_offset, k_partition)), sumWithOverflow(content)
  FROM $raw_rows
  WHERE has(due, customer)
  GROUP BY customer, grp, from_ms)
GROUP BY customer, grp, from_ms
$bound
