-- balances: usage of one meter version, for customers that each have a span of their own, by group, as of a vector:
-- totals of the panes that hold everything below it, and raw events of all others. Who has no span is left out.
SELECT toUInt32($ask) AS ask, customer, grp, sum(events), sum(invalid), $total AS value
FROM (
  SELECT if(a.customer = '', t.subject, a.customer) AS customer, t.grp AS grp, t.events AS events, t.invalid AS invalid,
    toInt256(reinterpretAsInt128(t.total)) AS units, toInt64(toUnixTimestamp(t.pane)) * 1000 AS at
  FROM (
    SELECT subject, pane, grp, events, invalid, total FROM pane_totals FINAL
    WHERE meter = $meter AND meter_version = $version AND pane >= fromUnixTimestamp64Milli(toInt64($since), 'UTC')
      AND pane < fromUnixTimestamp64Milli(toInt64($until), 'UTC') AND intDiv(toUnixTimestamp(pane), 300) NOT IN ($open)
      AND events > 0 AND $subjects) AS t
  ASOF LEFT JOIN ($attributions_as_of) AS a
    ON t.subject = a.subject AND toDateTime64(t.pane, 3, 'UTC') >= a.effective_from
  UNION ALL
  SELECT customer, grp, toUInt64(1), toUInt64(valid = 0), if(valid, toInt256(reinterpretAsInt128(value)), 0), at
  FROM ($usage_rows))
WHERE at >= $from AND at < $to
GROUP BY customer, grp
