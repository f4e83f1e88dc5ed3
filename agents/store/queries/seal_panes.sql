-- seal_panes: totals of panes of one meter as of a coverage; a group that vanished gets a zero row.
-- What was retired is not there to be computed again: its totals stay as they are.
INSERT INTO pane_totals (meter, meter_version, subject, pane, grp, events, invalid, total, ver)
SELECT {meter:String}, {version:String}, subject, pane, grp, sum(events), sum(invalid), sum(total), {ver:UInt64}
FROM (
  SELECT subject, toStartOfInterval(ts, INTERVAL 5 MINUTE) AS pane, $group AS grp,
    count() AS events, countIf($valid = 0) AS invalid, $total AS total
  FROM ($counted_events)
  WHERE $where AND intDiv(toUnixTimestamp(ts), 300) IN ($panes) AND ts >= (SELECT max(before) FROM retirements)
  GROUP BY subject, pane, grp
  $vanished)
GROUP BY subject, pane, grp
