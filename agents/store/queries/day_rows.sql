-- day_rows: sealed days of a meter, each of the tick that is named beside it. A fragment.
SELECT subject, grp, events, invalid, total, least, greatest, last, last_use, first_use, fingerprint,
  toDateTime64(day + 1, 3, 'UTC') AS ends
FROM day_totals FINAL
WHERE meter = {meter:String} AND meter_version = {version:String} AND ($subjects)
  AND (day, tick) IN (SELECT pair.1, pair.2 FROM (SELECT arrayJoin(arrayZip({days:Array(Date)}, {sealed:Array(UInt64)})) AS pair))
