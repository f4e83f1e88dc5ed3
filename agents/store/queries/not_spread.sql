-- not_spread: final documents that booked revenue which is not spread over days: they became final before that was kept.
SELECT i.kind, i.document, c.document, -p.booked
FROM (SELECT toString(document_id) AS id, kind, document, corrects FROM invoices FINAL WHERE number != ''
  AND document_id NOT IN (SELECT document FROM revenue_lines)) AS i
INNER JOIN (SELECT document, sum(amount) AS booked FROM postings FINAL
  WHERE book = 'revenue' AND cause IN ('invoiced', 'credited') GROUP BY document HAVING booked != 0) AS p
  ON i.id = p.document
LEFT JOIN (SELECT toString(document_id) AS id, document FROM invoices FINAL WHERE kind = 'invoice') AS c
  ON i.corrects = c.id
ORDER BY i.id
LIMIT {at_most:UInt32}
