-- day_differences: customers whose rows of some sealed days, all computed under one tick, differ from what the events that
-- count under its vector come to: in everything but the fingerprint, which says which events, and prices nothing.
WITH
  raw AS (
    SELECT subject, day, grp, arrayJoin($rows) AS row
    FROM (
      SELECT subject, toDate(ts) AS day, toUnixTimestamp64Milli(ts) AS at, k_offset, k_partition, $group AS grp, $columns,
        toUInt128(0) AS content
      FROM ($counted_events)
      WHERE has({days:Array(Date)}, day))
    GROUP BY subject, day, grp),
  compared AS (
    SELECT subject, day, grp, sumIf(events, is_raw) AS raw_events, sumIf(events, NOT is_raw) AS total_events,
      sumIf(total, is_raw) AS raw_value, sumIf(total, NOT is_raw) AS total_value
    FROM (
      SELECT subject, day, grp, 1 AS is_raw, row.3 AS events, row.5 AS total,
        toString((row.3, row.4, row.5, row.6, row.7, row.8, row.9, row.10)) AS all_of_it
      FROM raw WHERE row.3 > 0
      UNION ALL
      SELECT subject, day, grp, 0, events, total,
        toString((events, invalid, total, least, greatest, last, (last_use.1, last_use.2, last_use.3),
          (first_use.1, first_use.2, first_use.3)))
      FROM day_totals FINAL
      WHERE meter = {meter:String} AND meter_version = {version:String} AND tick = {sealed:UInt64}
        AND has({days:Array(Date)}, day))
    WHERE toDateTime64(day, 3, 'UTC') >= (SELECT max(before) FROM retirements)
    GROUP BY subject, day, grp
    HAVING uniqExact(all_of_it) != 1 OR count() != 2)
SELECT if(a.customer = '', c.subject, a.customer) AS customer, count() AS days, sum(c.raw_events), sum(c.total_events),
  sum(c.raw_value), sum(c.total_value)
FROM compared AS c
ASOF LEFT JOIN ($attributions_as_of) AS a
  ON c.subject = a.subject AND toDateTime64(c.day + 1, 3, 'UTC') > a.effective_from
GROUP BY customer
ORDER BY customer
