-- corrected_days: days of the events that corrections of a range name, and of what they were replaced by. Copies of a
-- correction may name other events: the targets of all of them are looked at.
WITH
  identities AS (
    SELECT DISTINCT source, id FROM corrections
    WHERE k_offset >= {before:Array(UInt64)}[k_partition + 1] AND k_offset < {usage:Array(UInt64)}[k_partition + 1]),
  targets AS (SELECT DISTINCT target_source, target_id FROM corrections WHERE (source, id) IN identities)
SELECT DISTINCT day FROM (
  SELECT toDate(ts) AS day FROM events WHERE (source, id) IN targets
  UNION ALL
  SELECT toDate(ts) FROM corrections WHERE (target_source, target_id) IN targets AND action = 'replace')
ORDER BY day
