-- pane_recount: customers whose totals of some panes, all sealed at one vector, differ from the events that count under
-- that vector, corrections and all. $panes lists them.
WITH
  raw AS (
    SELECT subject, toDateTime(toStartOfInterval(ts, INTERVAL 5 MINUTE), 'UTC') AS pane, $group AS grp,
      count() AS events, sum($value) AS value
    FROM ($counted_events)
    WHERE $where AND intDiv(toUnixTimestamp(ts), 300) IN ($panes)
    GROUP BY subject, pane, grp),
  sealed AS (
    SELECT pane, ver FROM seals FINAL
    WHERE meter = {meter:String} AND meter_version = {version:String}
      AND pane >= {starts:DateTime64(3, 'UTC')} AND pane < {ends:DateTime64(3, 'UTC')}),
  totals AS (
    SELECT subject, pane, grp, events, total, ver FROM pane_totals FINAL
    WHERE meter = {meter:String} AND meter_version = {version:String}
      AND pane >= {starts:DateTime64(3, 'UTC')} AND pane < {ends:DateTime64(3, 'UTC')}
      AND intDiv(toUnixTimestamp(pane), 300) IN ($panes)),
  in_flight AS (
    SELECT t.pane AS pane FROM totals AS t LEFT JOIN sealed AS s ON t.pane = s.pane
    WHERE t.ver > s.ver OR (t.events > 0 AND t.ver != s.ver)),
  compared AS (
    SELECT subject, pane, grp, sum(raw_events) AS raw_events, sum(total_events) AS total_events,
      sum(raw_value) AS raw_value, sum(total_value) AS total_value
    FROM (
      SELECT subject, pane, grp, events AS raw_events, 0 AS total_events, value AS raw_value,
        toDecimal128(0, 12) AS total_value
      FROM raw
      UNION ALL SELECT subject, pane, grp, 0, events, toDecimal128(0, 12), total FROM totals)
    WHERE pane NOT IN (SELECT pane FROM in_flight) AND pane NOT IN ($panes_in_audit)
    GROUP BY subject, pane, grp
    HAVING raw_events != total_events OR raw_value != total_value)
SELECT if(a.customer = '', c.subject, a.customer) AS customer, count() AS panes, sum(c.raw_events), sum(c.total_events),
  sum(c.raw_value), sum(c.total_value)
FROM compared AS c
ASOF LEFT JOIN ($attributions_as_of) AS a
  ON c.subject = a.subject AND toDateTime64(c.pane, 3, 'UTC') >= a.effective_from
GROUP BY customer
ORDER BY customer
