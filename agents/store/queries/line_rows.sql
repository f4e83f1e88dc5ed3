-- line_rows: the counted events of a meter in a span that belong to one customer, raw, with group and value. A fragment.
SELECT e.type AS type, e.subject AS subject, e.ts AS ts, e.source AS source, e.id AS id, e.k_partition AS k_partition,
  e.k_offset AS k_offset, e.data AS data, e.d AS d, $group AS grp, 1 AS inside,
  $valid AS valid, $value AS value
FROM ($counted_events) AS e
ASOF LEFT JOIN ($attributions_as_of) AS a ON e.subject = a.subject AND e.ts >= a.effective_from
WHERE if(a.customer = '', e.subject, a.customer) = {customer:String} AND $where
