-- pane_sums: what panes of one meter hold, per subject and group. A fragment of seal_panes. Each expression of the meter is
-- written once: to plan a text that repeats it costs as much as reading thousands of events.
-- What was retired is not there to be computed again: its totals stay as they are.
SELECT subject, pane, grp, count() AS events, countIf(valid = 0) AS invalid, $total AS total
FROM (
  SELECT subject, toStartOfInterval(ts, INTERVAL 5 MINUTE) AS pane, $group AS grp, $valid AS valid, $value AS value
  FROM ($counted_events)
  WHERE $where AND intDiv(toUnixTimestamp(ts), 300) IN ($panes) AND ts >= (SELECT max(before) FROM retirements))
GROUP BY subject, pane, grp
