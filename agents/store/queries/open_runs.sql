-- open_runs: runs that a tick made due and that are neither closed nor parked, nor behind a parked one of their
-- customer: a run deducts what the runs before it issued.
SELECT run
FROM (SELECT * FROM billing_runs FINAL WHERE k_partition IN {partitions:Array(UInt16)}) AS r
LEFT JOIN (SELECT customer, min(tick) AS tick FROM parked_runs FINAL WHERE NOT released GROUP BY customer) AS parked
  ON r.customer = parked.customer
WHERE (r.customer, r.tick, r.revision) NOT IN (SELECT customer, tick, revision FROM closes)
  AND (parked.tick = 0 OR r.tick < parked.tick)
ORDER BY r.tick, r.customer, r.revision
