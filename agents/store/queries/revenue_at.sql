-- revenue_at: per currency what is invoiced, recognised of it and unbilled at the beginning of a day; like pipeline/collection/revenue.py.
SELECT currency, sumIf(net, is_issued) AS invoiced, sumIf(earned, is_issued) AS recognised,
  invoiced - recognised AS deferred, sumIf(earned, NOT is_issued) AS unbilled
FROM (
  SELECT currency, net, issued_at < toDateTime64({day:Date}, 3, 'UTC') AS is_issued, toInt64(days) AS n,
    toInt256(toDecimal256(net, 12) * intExp10(minor_units)) AS units,
    least(greatest(dateDiff('day', first_day, {day:Date}), 0), n) AS served,
    toDecimal128(sign(units) * intDiv(2 * abs(units) * served + n, 2 * n), 12) / intExp10(minor_units) AS earned
  FROM revenue_lines FINAL
  WHERE {customer:String} = '' OR customer = {customer:String}
)
GROUP BY currency
ORDER BY currency
