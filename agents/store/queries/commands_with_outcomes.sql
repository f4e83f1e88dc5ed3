-- commands_with_outcomes: every command with what became of it, the newest tick first.
SELECT o.customer AS customer, o.command AS command, o.accepted AS accepted, o.detail AS detail, o.actor AS actor,
  o.reason AS reason, o.request_id AS request_id, o.tick AS tick, t.time AS time, o.k_partition AS partition,
  o.k_offset AS offset
FROM (
  SELECT * FROM command_outcomes FINAL
  WHERE ({customer:String} = '' OR customer = {customer:String}) AND ({command:String} = '' OR command = {command:String})
    AND accepted IN {accepted:Array(UInt8)}) AS o
LEFT JOIN (SELECT number, time FROM ticks FINAL) AS t ON o.tick = t.number
ORDER BY o.tick DESC, o.k_partition, o.k_offset DESC
LIMIT {at_most:UInt32}
