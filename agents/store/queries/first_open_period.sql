-- first_open_period: the start of the first period that some subscription has not been billed for, or whose run is not
-- closed, and whether there is any.
SELECT count(), min(starts)
FROM (
  SELECT billed_through AS starts FROM subscriptions FINAL WHERE status != 'canceled'
  UNION ALL
  SELECT arrayMin(s -> s.2, services) FROM billing_runs FINAL
  WHERE notEmpty(services)
    AND (customer, tick, revision) NOT IN (SELECT customer, tick, revision FROM closes))
