-- vanished_groups: the sums, and a zero for every group that the panes had when they were last sealed. A fragment of
-- seal_panes.
SELECT meter, meter_version, subject, pane, grp, sum(events) AS events, sum(invalid) AS invalid, sum(total) AS total
FROM (
  $pane_sums
  UNION ALL
  SELECT meter, meter_version, subject, pane, grp, 0 AS events, 0 AS invalid, toDecimal128(0, 12) AS total
  FROM pane_totals FINAL
  WHERE (meter, meter_version) IN ($versions) AND events > 0
    AND pane >= toDateTime({starts:DateTime64(3, 'UTC')}) AND pane < toDateTime({ends:DateTime64(3, 'UTC')})
    AND intDiv(toUnixTimestamp(pane), 300) IN ($panes) AND pane >= (SELECT max(before) FROM retirements))
GROUP BY meter, meter_version, subject, pane, grp
