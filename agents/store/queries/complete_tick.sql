-- complete_tick: the last tick that is complete with every tick before it: all partitions of billing.commands have
-- folded it and each of its runs is rated or parked. What lies behind a parked run of its customer waits with it.
WITH
  (SELECT if(count() = {partitions:UInt16}, min(tick), 0) FROM partition_clocks FINAL) AS folded,
  (SELECT min(tick) FROM billing_runs FINAL
   WHERE (customer, tick) NOT IN (
       SELECT r.customer, r.tick FROM billing_runs AS r
       INNER JOIN (SELECT customer, min(tick) AS tick FROM parked_runs FINAL WHERE NOT released GROUP BY customer) AS p
         ON r.customer = p.customer WHERE r.tick >= p.tick)
     AND (customer, tick, revision) NOT IN (SELECT customer, tick, revision FROM rated_runs FINAL)) AS first_open
SELECT if(first_open = 0, folded, least(folded, toUInt64(first_open - 1)))
