-- seal_panes: totals of panes of some meters as of a coverage: their sums, or those with a zero row for each group that
-- vanished.
INSERT INTO pane_totals (meter, meter_version, subject, pane, grp, events, invalid, total, ver)
SELECT meter, meter_version, subject, pane, grp, events, invalid, total, {ver:UInt64}
FROM ($pane_sums)
