-- rows_of_range: every row at a range of positions of usage.events, of whatever table; of a dead letter its value in base64.
SELECT bitNot(inv_offset) AS k_offset, 'event' AS what, type, subject, toUnixTimestamp64Milli(ts) AS ts_ms, source, id,
  data, exact
FROM events
WHERE k_partition = {partition:UInt16}
  AND inv_offset <= bitNot({first:UInt64}) AND inv_offset > bitNot({next:UInt64})
GROUP BY ALL
UNION ALL
SELECT k_offset, 'correction', type, subject, if(action = 'replace', toUnixTimestamp64Milli(ts), 0), target_source,
  target_id, data, exact
FROM corrections FINAL
WHERE k_partition = {partition:UInt16} AND k_offset >= {first:UInt64} AND k_offset < {next:UInt64}
UNION ALL
SELECT k_offset, 'dead letter', if(detail = 'erased', 'erased', ''), '', 0, '', '', base64Encode(payload), ''
FROM dead_letters FINAL
WHERE topic = 'usage.events' AND k_partition = {partition:UInt16} AND k_offset >= {first:UInt64}
  AND k_offset < {next:UInt64}
UNION ALL
SELECT k_offset, concat('copy: ', toString(kind)), type, subject, toUnixTimestamp64Milli(ts), source, id, '', ''
FROM copies FINAL
WHERE k_partition = {partition:UInt16} AND k_offset >= {first:UInt64} AND k_offset < {next:UInt64}
UNION ALL
SELECT arrayJoin(range(greatest(first_offset, {first:UInt64}), least(next_offset, {next:UInt64}))), 'expired', '', '', 0,
  '', '', '', ''
FROM empty_positions FINAL
WHERE why = 'expired' AND k_partition = {partition:UInt16} AND first_offset < {next:UInt64}
  AND next_offset > {first:UInt64}
