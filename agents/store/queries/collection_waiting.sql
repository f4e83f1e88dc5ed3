-- collection_waiting: of open business with payment services, per kind how many requests have no outcome, and since when
-- the oldest has none; beside them invoices that are past due.
SELECT
  sum(arrayCount(each -> JSONExtractString(each, 'state') IN ('requested', 'requires_action'), attempts)) AS payments_open,
  sum(arrayCount(each -> JSONExtractString(each, 'state') = 'requested', refunds)) AS refunds_open,
  min(arrayMin(each -> if(JSONExtractString(each, 'state') IN ('requested', 'requires_action'),
    parseDateTime64BestEffort(JSONExtractString(each, 'requested_at'), 3, 'UTC'), toDateTime64('2299-01-01', 3, 'UTC')),
    arrayConcat(attempts, refunds, ['{}']))) AS oldest,
  (SELECT max(time) FROM ticks) AS now,
  (SELECT count() FROM invoices FINAL WHERE status = 'past_due') AS past_due
FROM (
  SELECT JSONExtractArrayRaw(receivable, 'attempts') AS attempts,
    arrayConcat(JSONExtractArrayRaw(receivable, 'refunds'),
      arrayFlatten(arrayMap(one -> JSONExtractArrayRaw(one, 'refunds'), JSONExtractArrayRaw(receivable, 'apart')))) AS refunds
  FROM invoices FINAL
  WHERE kind = 'invoice' AND match(receivable, '"state":"(requested|requires_action)"')
)
