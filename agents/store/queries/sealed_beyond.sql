-- sealed_beyond: panes whose newest seal knew of a later audit than one, with the vector that they hold.
SELECT meter, meter_version, intDiv(toUnixTimestamp(pane), 300) AS number, vector
FROM seals FINAL
WHERE ver >= {ver:UInt64}
