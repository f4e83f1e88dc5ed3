-- ticks_to_audit: ticks under which something waits to be closed and that no audit has reached, in order.
SELECT number, time, clock, vector FROM ticks FINAL
WHERE number > (SELECT max(tick) FROM audits)
  AND number IN (
    SELECT tick FROM billing_runs FINAL
    WHERE (customer, tick, revision) NOT IN (SELECT customer, tick, revision FROM closes))
ORDER BY number
