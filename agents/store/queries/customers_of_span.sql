-- customers_of_span: who of a tick's runs is billed for a served span.
SELECT DISTINCT customer FROM billing_runs
WHERE tick = {tick:UInt64} AND revision = {revision:UInt16}
  AND arrayExists(s -> s.2 = {span_starts:DateTime64(3, 'UTC')} AND s.3 = {ends:DateTime64(3, 'UTC')}, services)
ORDER BY customer
