-- closes_with_runs: published closes, each with the run that it was made from.
SELECT c.record, r.run
FROM (SELECT * FROM closes FINAL WHERE {all:UInt8} OR close_id IN {ids:Array(UUID)}) AS c
INNER JOIN (SELECT customer, tick, revision, run FROM billing_runs FINAL) AS r
  ON c.customer = r.customer AND c.tick = r.tick AND c.revision = r.revision
ORDER BY c.tick, c.revision, c.customer
