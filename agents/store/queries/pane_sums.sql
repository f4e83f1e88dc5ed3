-- pane_sums: what panes hold, per meter, subject and group, of several meters with the same groups in one reading. A fragment
-- of seal_panes. Each expression is written once: to plan a text that repeats it costs as much as reading thousands of events.
-- $columns are, per meter, whether an event counts and its number, NULL where the meter cannot use it; $rows are tuples of
-- name, version, events, invalid ones and sum. What was retired is not there to be computed again: its totals stay as they are.
SELECT row.1 AS meter, row.2 AS meter_version, subject, pane, grp, row.3 AS events, row.4 AS invalid, $total AS total
FROM (
  SELECT subject, pane, grp, arrayJoin([$rows]) AS row
  FROM (
    SELECT subject, toStartOfInterval(ts, INTERVAL 5 MINUTE) AS pane, $group AS grp, $columns
    FROM (
      SELECT type, subject, ts, d, $fields AS fields FROM ($counted_events)
      WHERE intDiv(toUnixTimestamp(ts), 300) IN ($panes) AND ts >= (SELECT max(before) FROM retirements)))
  WHERE $counts
  GROUP BY subject, pane, grp)
WHERE events > 0
