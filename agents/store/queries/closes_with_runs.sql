-- closes_with_runs: published closes, each with the run that it was made from; of some ids, and of runs that bill some
-- period beginning in a span, or look at one again because of what came late.
SELECT c.record, r.run
FROM (SELECT * FROM closes FINAL WHERE {all:UInt8} OR close_id IN {ids:Array(UUID)}) AS c
INNER JOIN (SELECT customer, tick, revision, services, run FROM billing_runs FINAL) AS r
  ON c.customer = r.customer AND c.tick = r.tick AND c.revision = r.revision
LEFT JOIN (SELECT customer, tick, revision, services FROM late_periods FINAL) AS l
  ON c.customer = l.customer AND c.tick = l.tick AND c.revision = l.revision
WHERE {always:UInt8} OR arrayExists(
  s -> s.2 >= {span_starts:DateTime64(3, 'UTC')} AND s.2 < {span_ends:DateTime64(3, 'UTC')},
  arrayConcat(r.services, l.services))
ORDER BY c.tick, c.revision, c.customer
