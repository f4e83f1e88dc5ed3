-- corrected_panes: panes of the events that corrections of a range name, and of what they were replaced by: before the
-- correction the one or the other was counted, so totals of both are computed again.
WITH targets AS (
  SELECT DISTINCT target_source, target_id FROM corrections
  WHERE k_offset >= {before:Array(UInt64)}[k_partition + 1] AND k_offset < {usage:Array(UInt64)}[k_partition + 1])
SELECT DISTINCT intDiv(toUnixTimestamp(ts), 300) AS pane
FROM (
  SELECT ts FROM events WHERE (source, id) IN targets
  UNION ALL
  SELECT ts FROM corrections WHERE (target_source, target_id) IN targets AND action = 'replace')
ORDER BY pane
