-- day_state: which days are sealed, as readers take them: those that the day sealer noted, without what anything has come
-- for since. One row: sealed days by meter version, with the tick of the seal; days that are sealed for every meter of the
-- catalogue; subjects that changed hands within a day. $beyond names each partition, so that rows below the noted vector are
-- not read.
CREATE OR REPLACE VIEW day_state AS
WITH
  (SELECT argMax(tuple(days, vector, audited, opened, attributed_to, splits, if(catalogue = $catalogue, whole, [])), ver)
   FROM noted_days) AS noted,
  (SELECT groupUniqArray(day) FROM (
    SELECT toDate(toDateTime(arrayJoin(panes) * 300, 'UTC')) AS day FROM ledger
    WHERE topic = 'usage.events' AND $beyond AND next_offset > noted.2[k_partition + 1]
    UNION ALL
    SELECT day FROM opened_days WHERE NOT has(noted.4, (day, toUInt8(because), known))
    UNION ALL
    SELECT toDate(ts) FROM retractions WHERE k_offset >= noted.3[k_partition + 1]
    UNION ALL
    SELECT toDate(effective_from) FROM attributions WHERE k_offset >= noted.5)) AS touched
SELECT arrayFilter(x -> NOT has(touched, x.3), noted.1) AS sealed, arrayFilter(x -> NOT has(touched, x), noted.7) AS whole,
  noted.6 AS splits
