-- identity_history: every record of one identity and every correction of it that is stored, in order of arrival, with
-- what became of it.
SELECT what, k_partition, k_offset, appended_at, type, subject, ts, data, by, reason
FROM (
  SELECT if(r.kind = '', 'event', concat('copy: ', r.kind)) AS what, e.k_partition AS k_partition, e.k_offset AS k_offset,
    e.appended_at AS appended_at, e.type AS type, e.subject AS subject, e.ts AS ts, e.data AS data, '' AS by, '' AS reason
  FROM (
    SELECT type, subject, ts, source, id, k_epoch, k_partition, bitNot(inv_offset) AS k_offset, appended_at, data
    FROM events FINAL WHERE source = {source:String} AND id = {id:String}) AS e
  LEFT JOIN (
    SELECT type, subject, ts, source, id, k_epoch, k_partition, toString(kind) AS kind FROM retractions FINAL
    WHERE source = {source:String} AND id = {id:String}) AS r
    USING (type, subject, ts, source, id, k_epoch, k_partition)
  UNION ALL
  SELECT concat('copy: ', toString(kind)), k_partition, k_offset, appended_at, type, subject, ts, '', '', ''
  FROM copies FINAL WHERE source = {source:String} AND id = {id:String}
  UNION ALL
  SELECT toString(action), k_partition, k_offset, appended_at, type, subject, ts, data, concat(source, ' ', id), reason
  FROM corrections FINAL WHERE target_source = {source:String} AND target_id = {id:String})
ORDER BY appended_at, k_partition, k_offset
