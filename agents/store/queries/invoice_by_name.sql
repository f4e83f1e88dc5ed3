-- invoice_by_name: the invoices that a person may mean by a name, the likeliest first: the latest where there is no
-- name; a number; a customer's latest; the beginning of an id.
SELECT found, document_id
FROM (
  SELECT document_id, number, issued_at,
    multiIf({name:String} = '' OR lower(number) = lower({name:String}), 'number',
      customer = {name:String}, 'customer',
      lengthUTF8({name:String}) >= 4 AND startsWith(toString(document_id), lower({name:String})), 'id', '') AS found
  FROM invoices FINAL
  WHERE kind = 'invoice')
WHERE found != ''
ORDER BY indexOf(['number', 'customer', 'id'], found), issued_at DESC, number DESC
