-- open_draft_steps: what ticks do with drafts and is not done, in order of ticks; what a customer's parked run has to
-- bill first waits with it.
SELECT s.k_partition, s.place, s.step
FROM (SELECT * FROM draft_steps FINAL WHERE NOT done AND k_partition IN {partitions:Array(UInt16)}) AS s
LEFT JOIN (SELECT customer, min(tick) AS tick FROM parked_runs FINAL WHERE NOT released GROUP BY customer) AS parked
  ON s.customer = parked.customer
WHERE parked.tick = 0 OR s.tick < parked.tick
ORDER BY s.tick, s.customer, s.place
LIMIT {at_most:UInt32}
