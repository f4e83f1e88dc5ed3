-- attributions: whose each subject is from when until when; null is still. The newest record of a (subject, from) counts.
WITH
  newest AS (
    SELECT subject, effective_from, argMax((customer, actor, reason, k_offset), k_offset) AS told
    FROM attributions
    GROUP BY subject, effective_from
  ),
  spans AS (
    SELECT
      subject, told.1 AS customer, effective_from,
      leadInFrame(toNullable(effective_from)) OVER (
        PARTITION BY subject ORDER BY effective_from ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
      ) AS effective_to,
      told.2 AS actor, told.3 AS reason, told.4 AS k_offset
    FROM newest
  )
SELECT subject, customer, effective_from, effective_to, actor, reason, k_offset, count() OVER () AS found
FROM spans
WHERE {customer:String} = '' OR customer = {customer:String}
ORDER BY customer, subject, effective_from
LIMIT {at_most:UInt64}
