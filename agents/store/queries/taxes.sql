-- taxes: of documents issued in a span, per currency, country of the buyer, rate and exemption.
SELECT currency, country, percentage, exemption, sum(taxable) AS base, sum(tax) AS taxed, uniqExact(document_id) AS documents
FROM v_tax
WHERE issued_at >= {start:DateTime64(3, 'UTC')} AND issued_at < {end:DateTime64(3, 'UTC')}
  AND ({customer:String} = '' OR customer = {customer:String})
GROUP BY currency, country, percentage, exemption
ORDER BY currency, country, percentage, exemption
