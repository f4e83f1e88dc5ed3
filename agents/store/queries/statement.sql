-- statement: per transaction what it adds to what a customer owes; what it is owed counts against that.
SELECT p.at, p.cause, if(i.number = '', p.document, i.number), p.currency, p.owes
FROM (
  SELECT any(at) AS at, any(cause) AS cause, any(document) AS document, currency, id, sum(amount) AS owes
  FROM postings FINAL
  WHERE customer = {customer:String} AND book IN ('receivable', 'customer_balance', 'unapplied')
  GROUP BY currency, id
  HAVING owes != 0
) AS p
LEFT JOIN (SELECT toString(document_id) AS document, number FROM invoices FINAL WHERE customer = {customer:String}) AS i
  ON p.document = i.document
ORDER BY p.at, p.cause = 'paid', p.id
