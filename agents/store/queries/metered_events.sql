-- metered_events: what the meters of the catalogue count in panes that may not hold all that is stored of them: readers take
-- the others from their totals. Every event is read once, and taken apart once, for all meters; ARRAY JOIN lets a filter on
-- subjects through. $columns are, per meter version, whether the event counts, its group, and its number, NULL where the
-- meter cannot use it; $rows are tuples of name, version and these.
CREATE OR REPLACE VIEW metered_events AS
SELECT row.1 AS meter, row.2 AS meter_version, subject, ts, source, id, k_partition, k_offset, appended_at,
  row.4 AS grp, toUInt8(isNotNull(row.5)) AS valid, ifNull(row.5, toDecimal128(0, 12)) AS value
FROM (
  SELECT subject, ts, source, id, k_partition, k_offset, appended_at, arrayFilter(x -> x.3, [$rows]) AS counted
  FROM (
    SELECT type, subject, ts, source, id, k_partition, k_offset, appended_at, $columns
    FROM (
      SELECT type, subject, ts, source, id, k_partition, k_offset, appended_at, d, $fields AS fields
      FROM counted_events_now
      WHERE type IN ($types) AND toStartOfInterval(ts, INTERVAL 5 MINUTE) IN (SELECT pane FROM open_panes))))
ARRAY JOIN counted AS row
