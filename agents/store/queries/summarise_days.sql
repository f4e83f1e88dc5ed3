-- summarise_days: how far the ledger names each day, from its rows beyond {seen} on.
INSERT INTO touched_days (day, k_partition, next_offset)
SELECT day, k_partition, max(next_offset)
FROM (
  SELECT toDate(toDateTime(arrayJoin(panes) * 300, 'UTC'), 'UTC') AS day, k_partition, next_offset
  FROM ledger WHERE topic = 'usage.events' AND next_offset > {seen:Array(UInt64)}[k_partition + 1])
GROUP BY day, k_partition
