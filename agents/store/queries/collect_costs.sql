-- collect_costs: queries of meters that the server has logged since the last look, and a minute before: it writes its
-- log in batches. A row is replaced by itself. What a query for several meters cost is shared equally.
INSERT INTO metering_costs (meter, meter_version, work, at, query_id, read_rows, read_bytes, cpu_us, duration_ms)
SELECT arrayJoin(meters).1, arrayJoin(meters).2, JSONExtractString(log_comment, 'tally'), event_time_microseconds, query_id,
  intDiv(read_rows, shares), intDiv(read_bytes, shares),
  intDiv(ProfileEvents['UserTimeMicroseconds'] + ProfileEvents['SystemTimeMicroseconds'], shares),
  intDiv(query_duration_ms, shares)
FROM (
  SELECT *, JSONExtract(log_comment, 'meters', 'Array(Tuple(String, String))') AS meters, greatest(1, length(meters)) AS shares
  FROM system.query_log
  WHERE type = 'QueryFinish' AND startsWith(log_comment, '{"tally"') AND current_database = currentDatabase()
    AND event_time >= (SELECT max(at) - INTERVAL 1 MINUTE FROM metering_costs))
