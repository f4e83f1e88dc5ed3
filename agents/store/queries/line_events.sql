-- line_events: raw events of a line after a place in the order of time and arrival, at most so many.
SELECT type, subject, ts, source, id, k_partition, k_offset, data, grp, valid, value
FROM ($line_rows)
WHERE (toUnixTimestamp64Milli(ts), k_offset, k_partition) > ({after_ms:Int64}, {after_offset:Int64}, {after_partition:Int32})
ORDER BY ts, k_offset, k_partition
LIMIT {at_most:UInt32}
