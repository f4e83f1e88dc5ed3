-- seal_day: what a day of several meters with the same groups adds up to under a tick's vector, in one reading.
-- The fingerprint is that of usage_rows.
INSERT INTO day_totals (meter, meter_version, subject, day, grp, tick, events, invalid, total, least, greatest, last,
  last_use, first_use, fingerprint)
SELECT row.1, row.2, subject, toDate({starts:DateTime64(3, 'UTC')}), grp, {tick:UInt64}, row.3, row.4, row.5, row.6, row.7,
  row.8, row.9, row.10, row.11
FROM (
  SELECT subject, grp, arrayJoin($rows) AS row
  FROM (
    SELECT subject, toUnixTimestamp64Milli(ts) AS at, k_offset, k_partition, $group AS grp, $columns,
      reinterpretAsUInt128(sipHash128(type, subject, ts, source, id, k_partition, k_offset, data)) AS content
    FROM ($counted_events))
  GROUP BY subject, grp)
WHERE row.3 > 0
