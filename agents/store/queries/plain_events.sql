-- plain_events: what counted_events.sql gives while nothing was corrected or retracted yet. A fragment, and much less to
-- plan. PREWHERE is of key columns alone: copies of a row share them, so it cannot part them before FINAL has chosen.
SELECT type, subject, ts, source, id, k_partition, bitNot(inv_offset) AS k_offset, appended_at, data, if(exact = '', data, exact) AS d
FROM events FINAL
PREWHERE type IN ($types) AND ($subjects)
  AND ts >= {starts:DateTime64(3, 'UTC')} AND ts < {ends:DateTime64(3, 'UTC')}
WHERE bitNot(inv_offset) < {usage:Array(UInt64)}[k_partition + 1]
