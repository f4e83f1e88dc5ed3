-- 0010_documents: documents that change how they stand, credit notes, holds; billing.finalisations as it was read.

ALTER TABLE invoices
  ADD COLUMN IF NOT EXISTS due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when it is to be paid',
  ADD COLUMN IF NOT EXISTS open_amount Decimal(38, 12) COMMENT 'what is still to be paid; 0 for a credit note',
  ADD COLUMN IF NOT EXISTS kept Decimal(38, 12) COMMENT 'what it adds to what is kept for the customer; negative where it uses it',
  ADD COLUMN IF NOT EXISTS corrects String COMMENT 'of a credit note: the id of the invoice',
  ADD COLUMN IF NOT EXISTS run_invoice String COMMENT 'of a credit note: the id of the invoice that it is set off against first',
  ADD COLUMN IF NOT EXISTS held Array(String) COMMENT 'why a draft waits for a person',
  ADD COLUMN IF NOT EXISTS series LowCardinality(String) COMMENT 'that numbers it';

ALTER TABLE finalisations ADD COLUMN IF NOT EXISTS issued_at DateTime64(3, 'UTC') COMMENT 'issue date: never runs back within a series';

-- Records of billing.finalisations, each under its offset: numbers, notes and actions follow from them in order.
CREATE TABLE document_log (
  k_offset UInt64,
  record String COMMENT 'Finalisation or DocumentAction, JSON',
  customer String,
  request_id String COMMENT 'of an action; empty for a finalisation'
) ENGINE = ReplacingMergeTree
ORDER BY k_offset
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Commands about documents, on their way from billing.commands into billing.finalisations.
CREATE TABLE document_actions (
  k_partition UInt16,
  k_offset UInt64,
  customer String,
  request_id String,
  action_id UUID COMMENT 'what stands for it among documents that are ordered',
  tick UInt64 COMMENT 'billing time of the command',
  record String COMMENT 'DocumentAction, JSON'
) ENGINE = ReplacingMergeTree
ORDER BY (customer, request_id, k_partition, k_offset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

DROP VIEW IF EXISTS v_invoices;
CREATE VIEW v_invoices (
  document_id UUID COMMENT 'derived from what it bills',
  number String COMMENT 'empty for a draft',
  kind String COMMENT 'invoice or credit_note; amounts of both are positive',
  status String COMMENT 'draft, rejected, open, past_due, paid, uncollectible, voided; of a credit note issued',
  customer String COMMENT 'who pays',
  currency String COMMENT 'ISO 4217, or a custom unit',
  period_start DateTime64(3, 'UTC') COMMENT 'first instant billed',
  period_end DateTime64(3, 'UTC') COMMENT 'exclusive',
  issued_at DateTime64(3, 'UTC') COMMENT 'issue date; of a draft the time of the tick that made it, not a clock',
  due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when it is to be paid; null for a draft and a credit note',
  subtotal Decimal(38, 12) COMMENT 'sum of the rounded lines',
  tax Decimal(38, 12) COMMENT 'sum of the taxes',
  total Decimal(38, 12) COMMENT 'with tax',
  amount_due Decimal(38, 12) COMMENT 'total less credits applied; never changes',
  open_amount Decimal(38, 12) COMMENT 'what is still to be paid of it now',
  corrects String COMMENT 'of a credit note: the id of the invoice',
  held Array(String) COMMENT 'why a draft waits for tally invoice release or reject',
  content_sha256 String COMMENT 'of the canonical JSON of the billed content',
  close_id UUID COMMENT 'the close whose frozen usage it bills',
  invoice_tick UInt64 COMMENT 'the tick whose vector the invoice covers',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT i.document_id AS document_id, i.number AS number, i.kind AS kind, i.status AS status, i.customer AS customer,
  i.currency AS currency, i.period_start AS period_start, i.period_end AS period_end, i.issued_at AS issued_at,
  i.due_at AS due_at, i.subtotal AS subtotal, i.tax AS tax, i.total AS total, i.amount_due AS amount_due,
  i.open_amount AS open_amount, i.corrects AS corrects, i.held AS held, i.content_sha256 AS content_sha256,
  i.close_id AS close_id, i.tick AS invoice_tick, f.tick AS tick, f.as_of AS as_of, f.stored_to AS stored_to
FROM (SELECT * FROM invoices FINAL) AS i CROSS JOIN freshness AS f
COMMENT 'Invoices and credit notes, each in its latest revision';

DROP VIEW IF EXISTS v_invoice_lines;
CREATE VIEW v_invoice_lines (
  document_id UUID COMMENT 'the invoice or credit note',
  number String COMMENT 'of the document; empty for a draft',
  kind String COMMENT 'invoice, or credit_note: then the amount is given back',
  customer String COMMENT 'who pays',
  line UInt32 COMMENT 'place on the document, from 0',
  subscription String COMMENT 'id of the subscription',
  charge String COMMENT 'id of the rate card or fee',
  meter String COMMENT 'empty for a fee',
  period_start DateTime64(3, 'UTC') COMMENT 'first instant of the service billed',
  period_end DateTime64(3, 'UTC') COMMENT 'exclusive',
  quantity Decimal(38, 12) COMMENT 'used, before conversion and free units',
  amount Decimal(38, 12) COMMENT 'rounded once; the only one in sums',
  amount_exact String COMMENT 'before its rounding, for the audit',
  currency String COMMENT 'ISO 4217, or a custom unit',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT l.document_id AS document_id, i.number AS number, i.kind AS kind, l.customer AS customer, l.line AS line,
  l.subscription AS subscription, l.charge AS charge, l.meter AS meter, l.period_start AS period_start,
  l.period_end AS period_end, l.quantity AS quantity, l.amount AS amount, l.amount_exact AS amount_exact,
  l.currency AS currency, f.tick AS tick, f.as_of AS as_of, f.stored_to AS stored_to
FROM (SELECT * FROM invoice_lines FINAL) AS l
INNER JOIN (SELECT document_id, number, kind FROM invoices FINAL) AS i ON l.document_id = i.document_id
CROSS JOIN freshness AS f
COMMENT 'Lines of invoices and credit notes';
