-- line_days: what one customer used of a meter on each day that begins at one of `days`, as of a vector.
SELECT toInt64(roundDown(toUnixTimestamp64Milli(ts), {days:Array(Int64)})) AS day, count() AS events,
  countIf(valid = 0) AS invalid, $value AS value
FROM ($line_rows)
GROUP BY day
ORDER BY day
