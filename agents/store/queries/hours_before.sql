-- hours_before: per customer, of one meter version, the hours of the days before one hour: the largest of them, how many
-- days ago the first usage was, and the values of the same hour by days ago. From sealed totals.
SELECT customer, max(value), max(ago), arrayFilter(x -> x.1 > 0, groupArray((if(same, ago, 0), value)))
FROM (
  SELECT if(a.customer = '', t.subject, a.customer) AS customer,
    toUInt32(intDiv(dateDiff('hour', t.at, {hour:DateTime64(3, 'UTC')}) + 23, 24)) AS ago,
    dateDiff('hour', t.at, {hour:DateTime64(3, 'UTC')}) % 24 = 0 AS same, sum(t.total) AS value
  FROM (
    SELECT subject, toStartOfHour(pane) AS at, toDateTime64(toStartOfHour(pane), 3, 'UTC') AS began, sum(total) AS total
    FROM pane_totals FINAL
    WHERE meter = {meter:String} AND meter_version = {version:String} AND events > 0
      AND pane < {hour:DateTime64(3, 'UTC')} AND pane >= {hour:DateTime64(3, 'UTC')} - INTERVAL {days:UInt32} DAY
    GROUP BY subject, at) AS t
  ASOF LEFT JOIN (SELECT subject, effective_from, argMax(customer, k_offset) AS customer FROM attributions
    GROUP BY subject, effective_from) AS a ON t.subject = a.subject AND t.began >= a.effective_from
  GROUP BY customer, ago, same, t.at)
GROUP BY customer
