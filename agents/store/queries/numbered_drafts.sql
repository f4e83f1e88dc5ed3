-- numbered_drafts: numbers whose invoice is not final yet, in order, with the draft; empty where it is still to come.
SELECT f.number, i.document
FROM (SELECT document_id, series, number FROM finalisations FINAL) AS f
LEFT JOIN (SELECT document_id, status, document FROM invoices FINAL) AS i ON f.document_id = i.document_id
WHERE i.status IN ('', 'draft')
ORDER BY f.series, f.number
LIMIT {at_most:UInt32}
