-- ledger_faults: transactions that do not add up to zero, and customers whose receivables differ from their invoices.
SELECT 'transaction' AS kind, toString(id) AS name, sum(amount) AS found, toDecimal128(0, 12) AS expected
FROM postings FINAL
WHERE {customer:String} = '' OR customer = {customer:String}
GROUP BY id
HAVING found != 0
UNION ALL
SELECT 'receivables of' AS kind, concat(customer, ' in ', currency) AS name, sum(booked) AS found, sum(open) AS expected
FROM (
  SELECT customer, currency, amount AS booked, toDecimal128(0, 12) AS open FROM postings FINAL WHERE book = 'receivable'
  UNION ALL
  SELECT customer, currency, toDecimal128(0, 12), open_amount FROM invoices FINAL
  WHERE kind = 'invoice' AND status IN ('open', 'past_due')
)
WHERE {customer:String} = '' OR customer = {customer:String}
GROUP BY customer, currency
HAVING found != expected
