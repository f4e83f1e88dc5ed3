-- open_work: runs that are not rated, and drafts that are not final; without what is parked or waits for a person.
SELECT
  (SELECT count() FROM billing_runs AS r FINAL
   LEFT JOIN (SELECT customer, min(tick) AS tick FROM parked_runs FINAL WHERE NOT released GROUP BY customer) AS p
     ON r.customer = p.customer
   WHERE (p.tick = 0 OR r.tick < p.tick)
     AND (r.customer, r.tick, r.revision) NOT IN (SELECT customer, tick, revision FROM rated_runs FINAL))
  + (SELECT count() FROM invoices FINAL WHERE status = 'draft' AND empty(held)) AS open
