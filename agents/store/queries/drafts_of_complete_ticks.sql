-- drafts_of_complete_ticks: drafts whose tick, and every tick before it, is complete: all partitions of
-- billing.commands have folded it and each of its runs is rated or parked. In order of issue date, customer.
WITH
  (SELECT if(count() = {partitions:UInt16}, min(tick), 0) FROM partition_clocks FINAL) AS folded,
  (SELECT min(tick) FROM billing_runs FINAL
   WHERE (customer, tick, revision) NOT IN (SELECT customer, tick, revision FROM parked_runs FINAL WHERE NOT released)
     AND (customer, tick, revision) NOT IN (SELECT customer, tick, revision FROM rated_runs FINAL)) AS first_open
SELECT document_id, customer, tick FROM invoices FINAL
WHERE status = 'draft' AND tick <= folded AND (first_open = 0 OR tick < first_open)
  AND position(document, '"kind":"unpriced"') = 0 -- usage without a price stops finalisation; see pipeline/rating.py
  AND document_id NOT IN (SELECT document_id FROM ordered_documents)
ORDER BY issued_at, tick, customer, currency
