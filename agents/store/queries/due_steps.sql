-- due_steps: open invoices for which collection has something to do at or before a time: overdue first, then its step.
SELECT toString(document_id), revision, customer, status, receivable, due_at, next_step_at
FROM invoices FINAL
WHERE kind = 'invoice' AND status IN ('open', 'past_due') AND receivable != ''
  AND ((status = 'open' AND open_amount > 0 AND due_at <= {at:DateTime64(3, 'UTC')})
    OR next_step_at <= {at:DateTime64(3, 'UTC')})
ORDER BY least(due_at, ifNull(next_step_at, due_at)), document_id
LIMIT {at_most:UInt32}
