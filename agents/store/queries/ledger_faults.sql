-- ledger_faults: transactions that do not add up to zero; customers whose receivables differ from their invoices, whose
-- booked revenue from what is spread over days, or whose prepaid credits from what is left; grants overdrawn.
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
UNION ALL
SELECT 'revenue of' AS kind, concat(customer, ' in ', currency) AS name, sum(booked) AS found, sum(spread) AS expected
FROM (
  SELECT customer, currency, -amount AS booked, toDecimal128(0, 12) AS spread FROM postings FINAL
  WHERE book = 'revenue' AND cause IN ('invoiced', 'credited')
  UNION ALL
  SELECT customer, currency, toDecimal128(0, 12), net FROM revenue_lines FINAL
)
WHERE {customer:String} = '' OR customer = {customer:String}
GROUP BY customer, currency
HAVING found != expected
UNION ALL
SELECT 'prepaid credits of' AS kind, concat(customer, ' in ', currency) AS name, sum(booked) AS found, sum(held) AS expected
FROM (
  SELECT customer, currency, -amount AS booked, toDecimal128(0, 12) AS held FROM postings FINAL
  WHERE book = 'prepaid_credits'
  UNION ALL
  SELECT customer, currency, toDecimal128(0, 12), amount FROM credit_entries FINAL
  WHERE (customer, grant_id) IN (
    SELECT customer, grant_id FROM credit_entries
    WHERE kind = 'granted' AND JSONExtractString(record, 'terms', 'funding') = 'paid')
)
WHERE {customer:String} = '' OR customer = {customer:String}
GROUP BY customer, currency
HAVING found != expected
UNION ALL
SELECT 'credits on order of' AS kind, concat(customer, ' in ', currency) AS name, sum(booked) AS found, sum(held) AS expected
FROM (
  SELECT customer, currency, -amount AS booked, toDecimal128(0, 12) AS held FROM postings FINAL
  WHERE book = 'credits_on_order'
  UNION ALL
  SELECT customer, currency, toDecimal128(0, 12), on_order FROM credit_entries FINAL
)
WHERE {customer:String} = '' OR customer = {customer:String}
GROUP BY customer, currency
HAVING found != expected
UNION ALL
SELECT 'credit' AS kind, concat(grant_id, ' of ', customer) AS name, sum(amount) AS found, toDecimal128(0, 12) AS expected
FROM credit_entries FINAL
WHERE grant_id != '' AND ({customer:String} = '' OR customer = {customer:String})
GROUP BY customer, grant_id
HAVING found < 0
