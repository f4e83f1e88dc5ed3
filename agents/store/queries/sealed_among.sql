-- sealed_among: which of some panes are sealed, by meter and version.
SELECT DISTINCT meter, meter_version, intDiv(toUnixTimestamp(pane), 300) AS number
FROM seals
WHERE pane >= {starts:DateTime} AND pane <= {ends:DateTime} AND number IN {panes:Array(UInt32)}
