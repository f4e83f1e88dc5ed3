-- pane_differences: customers whose sealed panes differ from raw events, each pane as of the vector it was sealed at.
-- Panes that begin in the span are compared, but for those that a correction touches: which correction counts depends
-- on the vector (pane_recount.sql). A zero row stands for a group that vanished.
WITH sealed AS (
  SELECT pane, vector, ver FROM seals FINAL
  WHERE meter = {meter:String} AND meter_version = {version:String}
    AND pane >= {starts:DateTime64(3, 'UTC')} AND pane < {ends:DateTime64(3, 'UTC')}),
raw AS (
  SELECT subject, pane, grp, count() AS events, sum(value) AS value
  FROM (
    SELECT e.subject AS subject, e.pane AS pane, e.d AS d, $group AS grp, $value AS value
    FROM (
      SELECT type, subject, ts, source, id, k_epoch, k_partition, bitNot(inv_offset) AS k_offset,
        if(exact = '', data, exact) AS d, toStartOfInterval(ts, INTERVAL 5 MINUTE) AS pane
      FROM events FINAL
      WHERE type IN ($types) AND ts >= {starts:DateTime64(3, 'UTC')} AND ts < {ends:DateTime64(3, 'UTC')}
        AND (source, id) NOT IN (SELECT target_source, target_id FROM corrections)
        AND (type, subject, ts, source, id, k_epoch, k_partition) NOT IN (
          SELECT type, subject, ts, source, id, k_epoch, k_partition FROM retractions)) AS e
    INNER JOIN sealed AS s ON e.pane = s.pane
    WHERE e.k_offset < s.vector[e.k_partition + 1] AND $where)
  GROUP BY subject, pane, grp),
in_flight AS (
  -- Totals are written before the seal that says as of what: between the two a pane cannot be compared with anything.
  -- A seal rewrites every group that has events; an older row without events may stay.
  SELECT t.pane AS pane
  FROM (
    SELECT pane, events, ver FROM pane_totals FINAL
    WHERE meter = {meter:String} AND meter_version = {version:String}
      AND pane >= {starts:DateTime64(3, 'UTC')} AND pane < {ends:DateTime64(3, 'UTC')}) AS t
  LEFT JOIN sealed AS s ON t.pane = s.pane
  WHERE t.ver > s.ver OR (t.events > 0 AND t.ver != s.ver)),
compared AS (
  SELECT subject, pane, grp, sum(raw_events) AS raw_events, sum(total_events) AS total_events,
    sum(raw_value) AS raw_value, sum(total_value) AS total_value
  FROM (
    SELECT subject, pane, grp, events AS raw_events, 0 AS total_events, value AS raw_value,
      toDecimal128(0, 12) AS total_value
    FROM raw
    UNION ALL
    SELECT subject, pane, grp, 0, events, toDecimal128(0, 12), total
    FROM pane_totals FINAL
    WHERE meter = {meter:String} AND meter_version = {version:String}
      AND pane >= {starts:DateTime64(3, 'UTC')} AND pane < {ends:DateTime64(3, 'UTC')})
  WHERE pane >= (SELECT max(before) FROM retirements) AND pane NOT IN (SELECT pane FROM in_flight) AND pane NOT IN ($panes_in_audit)
    AND pane NOT IN ($panes_of_corrections)
  GROUP BY subject, pane, grp
  HAVING raw_events != total_events OR raw_value != total_value)
SELECT if(a.customer = '', c.subject, a.customer) AS customer, count() AS panes, sum(c.raw_events), sum(c.total_events),
  sum(c.raw_value), sum(c.total_value)
FROM compared AS c
ASOF LEFT JOIN ($attributions_as_of) AS a
  ON c.subject = a.subject AND toDateTime64(c.pane, 3, 'UTC') >= a.effective_from
GROUP BY customer
ORDER BY customer
