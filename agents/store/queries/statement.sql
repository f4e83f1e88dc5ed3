-- statement: per transaction what it adds to what a customer owes; what it is owed counts against that. Invoices also
-- where credits paid all of them.
SELECT p.at, p.cause, if(i.number = '', p.document, i.number), p.currency, p.owes
FROM (
  SELECT any(at) AS at, any(cause) AS cause, any(document) AS document, currency, id,
    sumIf(amount, book IN ('receivable', 'customer_balance', 'unapplied')) AS owes
  FROM postings FINAL
  WHERE customer = {customer:String}
  GROUP BY currency, id
  HAVING owes != 0 OR cause = 'invoiced'
) AS p
LEFT JOIN (SELECT toString(document_id) AS document, number FROM invoices FINAL WHERE customer = {customer:String}) AS i
  ON p.document = i.document
ORDER BY p.at, p.cause = 'paid', p.id
