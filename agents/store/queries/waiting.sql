-- waiting: what a person should look at, in counts: open dead letters, runs that are due, runs that were set aside, and
-- how far a wall clock's billing time is behind (0 on a test clock and before the first tick).
SELECT
  (SELECT count() FROM dead_letters_now WHERE state = 'open') AS dead_letters_open,
  (SELECT count() FROM billing_runs FINAL
    WHERE (customer, tick, revision) NOT IN (SELECT customer, tick, revision FROM closes)
      AND (customer, tick) NOT IN (SELECT customer, tick FROM parked_runs FINAL)) AS runs_open,
  (SELECT count() FROM parked_runs FINAL WHERE NOT released) AS runs_parked,
  (SELECT if(count() = 0 OR argMax(clock, number) != 'wall', 0,
      greatest(0, toUnixTimestamp64Milli(now64(3)) - toUnixTimestamp64Milli(max(time)))) FROM ticks) AS clock_behind_ms
