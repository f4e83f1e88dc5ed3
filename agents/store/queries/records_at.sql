-- records_at: what the records at some positions are that changed a customer's usage in a span: events that came late,
-- corrections with the event that they take away or replace, and subjects that changed hands.
SELECT 'event' AS what, k_partition, bitNot(inv_offset) AS k_offset, ts, subject, source, id, data
FROM events FINAL
PREWHERE ts >= {starts:DateTime64(3, 'UTC')} AND ts < {ends:DateTime64(3, 'UTC')} AND ($subjects)
WHERE (k_partition, bitNot(inv_offset)) IN (SELECT arrayJoin(arrayZip({partitions:Array(UInt16)}, {offsets:Array(UInt64)})))
UNION ALL
SELECT if(c.action = 'retract', 'retraction', 'replacement'), c.k_partition, c.k_offset, e.ts, e.subject,
  c.target_source, c.target_id, if(c.action = 'retract', e.data, c.data)
FROM (
  SELECT * FROM corrections FINAL
  WHERE (k_partition, k_offset) IN (SELECT arrayJoin(arrayZip({partitions:Array(UInt16)}, {offsets:Array(UInt64)})))) AS c
LEFT JOIN (
  SELECT source, id, ts, subject, data FROM events FINAL
  PREWHERE ts >= {starts:DateTime64(3, 'UTC')} AND ts < {ends:DateTime64(3, 'UTC')} AND ($subjects)) AS e
  ON c.target_source = e.source AND c.target_id = e.id
UNION ALL
SELECT 'attribution', 0, k_offset, effective_from, subject, customer, '', ''
FROM attributions FINAL
WHERE k_offset IN {attributions:Array(UInt64)}
