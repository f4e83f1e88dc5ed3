-- collect_costs: queries of meters that the server has logged since the last look, and a minute before: it writes its
-- log in batches. A row is replaced by itself.
INSERT INTO metering_costs (meter, meter_version, work, at, query_id, read_rows, read_bytes, cpu_us, duration_ms)
SELECT JSONExtractString(log_comment, 'meter'), JSONExtractString(log_comment, 'version'),
  JSONExtractString(log_comment, 'tally'), event_time_microseconds, query_id, read_rows, read_bytes,
  ProfileEvents['UserTimeMicroseconds'] + ProfileEvents['SystemTimeMicroseconds'], query_duration_ms
FROM system.query_log
WHERE type = 'QueryFinish' AND startsWith(log_comment, '{"tally"') AND current_database = currentDatabase()
  AND event_time >= (SELECT max(at) - INTERVAL 1 MINUTE FROM metering_costs)
