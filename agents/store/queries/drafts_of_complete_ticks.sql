-- drafts_of_complete_ticks: drafts up to a complete tick that are not ordered yet, in order of issue date, customer,
-- kind: a credit note before the invoice of its run, which it is set off against. Held drafts wait for a person.
SELECT document_id, customer, tick, series FROM invoices FINAL
WHERE status = 'draft' AND empty(held) AND tick <= {complete:UInt64}
  AND document_id NOT IN (SELECT document_id FROM ordered_documents)
ORDER BY issued_at, tick, customer, currency, kind, document_id
