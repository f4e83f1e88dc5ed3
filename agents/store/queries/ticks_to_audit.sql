-- ticks_to_audit: ticks under which something waits to be closed or drafted and that no audit has reached, in order. What was
-- audited before is not read again: it only grows.
SELECT number, time, clock, vector FROM ticks FINAL
WHERE number > (SELECT max(tick) FROM audits)
  AND number IN (
    SELECT tick FROM billing_runs
    WHERE tick > (SELECT max(tick) FROM audits) AND (customer, tick, revision) NOT IN (SELECT customer, tick, revision FROM closes)
    UNION DISTINCT
    SELECT tick FROM draft_steps WHERE tick > (SELECT max(tick) FROM audits) AND position(step, '"run":') > 0)
ORDER BY number
