-- not_billed: events of a customer in a span, by type: all that count by now, those beyond the vector of a document,
-- and those below it that none of its meters counts. $billed says whether one of them does.
SELECT type, count() AS events, countIf(beyond) AS beyond_vector, countIf(NOT beyond AND NOT billed) AS uncounted
FROM (
  SELECT if(a.customer = '', e.subject, a.customer) AS customer, e.type AS type, e.d AS d,
    e.k_offset >= {billed_to:Array(UInt64)}[e.k_partition + 1] AS beyond, ($billed) AS billed
  FROM ($counted_events) AS e
  ASOF LEFT JOIN ($attributions_as_of) AS a ON e.subject = a.subject AND e.ts >= a.effective_from)
WHERE customer = {customer:String}
GROUP BY type
HAVING beyond_vector > 0 OR uncounted > 0
ORDER BY type
