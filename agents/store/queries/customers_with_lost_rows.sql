-- customers_with_lost_rows: whom a row that is missing touches in a span, as of a tick: whose event it is, or whose event a
-- lost correction names or brings. How many, and one of them.
SELECT if(a.customer = '', l.subject, a.customer) AS customer, uniqExact(l.k_partition, l.k_offset) AS rows,
  argMin((l.what, l.k_partition, l.k_offset), (l.k_partition, l.k_offset)) AS example
FROM (
  SELECT k_partition, k_offset, toString(what) AS what, subject, ts FROM ($lost_rows_now) WHERE subject != ''
  UNION ALL
  SELECT c.k_partition, c.k_offset, toString(c.what), e.subject, e.ts
  FROM (SELECT * FROM ($lost_rows_now) WHERE what = 'correction') AS c
  INNER JOIN (
    SELECT source, id, subject, ts FROM events FINAL
    WHERE (source, id) IN (SELECT source, id FROM lost_rows WHERE what = 'correction')) AS e
    ON c.source = e.source AND c.id = e.id) AS l
ASOF LEFT JOIN ($attributions_as_of) AS a ON l.subject = a.subject AND l.ts >= a.effective_from
WHERE l.ts >= {starts:DateTime64(3, 'UTC')} AND l.ts < {ends:DateTime64(3, 'UTC')}
GROUP BY customer
ORDER BY customer
