-- open_runs: runs that a tick made due and that are neither closed nor parked.
SELECT run FROM billing_runs FINAL
WHERE k_partition IN {partitions:Array(UInt16)}
  AND (customer, tick, revision) NOT IN (SELECT customer, tick, revision FROM closes)
  AND (customer, tick, revision) NOT IN (SELECT customer, tick, revision FROM parked_runs FINAL WHERE NOT released)
ORDER BY tick, customer, revision
