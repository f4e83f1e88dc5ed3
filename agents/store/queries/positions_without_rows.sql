-- positions_without_rows: ranges of usage.events from one vector to another of which no table knows: neither an event, a
-- correction or a dead letter, nor a copy or an empty position that was found before. $days narrows events (or is 1).
SELECT k_partition, greatest(reached, low) AS first_offset, starts AS next_offset
FROM (
  SELECT k_partition, starts, {from:Array(UInt64)}[k_partition + 1] AS low,
    max(ends) OVER (PARTITION BY k_partition ORDER BY starts, ends
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
  FROM (
    SELECT k_partition, bitNot(inv_offset) AS starts, bitNot(inv_offset) + 1 AS ends FROM events FINAL WHERE $days
    UNION ALL SELECT k_partition, k_offset, k_offset + 1 FROM corrections FINAL
    UNION ALL SELECT k_partition, k_offset, k_offset + 1 FROM dead_letters FINAL WHERE topic = 'usage.events'
    UNION ALL SELECT k_partition, k_offset, k_offset + 1 FROM copies FINAL
    UNION ALL SELECT k_partition, first_offset, next_offset FROM empty_positions FINAL
    UNION ALL SELECT toUInt16(part - 1), tos[part], tos[part] -- where a range ends that nothing follows
    FROM (SELECT {to:Array(UInt64)} AS tos, arrayJoin(arrayEnumerate(tos)) AS part))
  WHERE ends > {from:Array(UInt64)}[k_partition + 1] AND starts <= {to:Array(UInt64)}[k_partition + 1])
WHERE starts > greatest(reached, low)
ORDER BY k_partition, first_offset
