-- drafts_of_complete_ticks: drafts whose tick, and every tick before it, is complete: all partitions of
-- billing.commands have folded it and each of its runs is rated or parked. In order of issue date, customer, kind:
-- a credit note before the invoice of its run, which it is set off against. Held drafts wait for a person.
WITH
  (SELECT if(count() = {partitions:UInt16}, min(tick), 0) FROM partition_clocks FINAL) AS folded,
  (SELECT min(tick) FROM billing_runs FINAL
   -- What lies behind a parked run of its customer waits with it, and holds up nobody else.
   WHERE (customer, tick) NOT IN (
       SELECT r.customer, r.tick FROM billing_runs AS r
       INNER JOIN (SELECT customer, min(tick) AS tick FROM parked_runs FINAL WHERE NOT released GROUP BY customer) AS p
         ON r.customer = p.customer WHERE r.tick >= p.tick)
     AND (customer, tick, revision) NOT IN (SELECT customer, tick, revision FROM rated_runs FINAL)) AS first_open
SELECT document_id, customer, tick, series FROM invoices FINAL
WHERE status = 'draft' AND empty(held) AND tick <= folded AND (first_open = 0 OR tick < first_open)
  AND document_id NOT IN (SELECT document_id FROM ordered_documents)
ORDER BY issued_at, tick, customer, currency, kind, document_id
