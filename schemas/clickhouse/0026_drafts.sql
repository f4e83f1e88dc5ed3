-- 0026_drafts: drafts of open periods in their grace, which no number, no later run and no credit knows of.

ALTER TABLE customers ADD COLUMN next_draft_at Nullable(DateTime64(3, 'UTC'))
  COMMENT 'the first tick at or after this drafts what is in its grace, or has a draft replaced by its invoice';

-- What a tick does with a customer's draft: written with the runs of the tick, done once it is published.
CREATE TABLE draft_steps (
  customer String,
  tick UInt64,
  place UInt8 COMMENT 'among the steps of that tick and customer',
  k_partition UInt16 COMMENT 'of billing.commands',
  step String COMMENT 'DraftStep, JSON',
  done UInt8 DEFAULT 0
) ENGINE = ReplacingMergeTree(done)
ORDER BY (tick, customer, place)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Every form of a draft that was published; the one of the greatest tick holds.
CREATE TABLE drafts (
  document_id UUID,
  tick UInt64 COMMENT 'under which it was published in this form',
  customer String,
  key DateTime64(3, 'UTC') COMMENT 'when it was due as it was first drafted',
  grp String COMMENT 'which documents of a run it is: empty, or a subscription that has its own',
  replaced UInt8 COMMENT 'whether its invoice, or nothing, stands in its place now',
  content_sha256 String COMMENT 'of what it bills, whatever tick it rests on',
  currency LowCardinality(String),
  period_start DateTime64(3, 'UTC'),
  period_end DateTime64(3, 'UTC'),
  due DateTime64(3, 'UTC') COMMENT 'when the run that bills it is due',
  tax Decimal(38, 12),
  total Decimal(38, 12),
  amount_due Decimal(38, 12),
  document String COMMENT 'Invoice, canonical JSON'
) ENGINE = ReplacingMergeTree
ORDER BY (document_id, tick, replaced)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE VIEW v_drafts (
  document_id UUID COMMENT 'of the draft; its invoice has another',
  customer String COMMENT 'who will pay',
  currency String COMMENT 'ISO 4217, or a custom unit',
  period_start DateTime64(3, 'UTC') COMMENT 'first instant that would be billed',
  period_end DateTime64(3, 'UTC') COMMENT 'exclusive',
  due DateTime64(3, 'UTC') COMMENT 'end of grace: when the invoice is made',
  tax Decimal(38, 12) COMMENT 'sum of the taxes as of the draft',
  total Decimal(38, 12) COMMENT 'with tax, as of the draft',
  amount_due Decimal(38, 12) COMMENT 'total less what interim invoices and credits would take',
  draft_tick UInt64 COMMENT 'the tick whose usage it shows: the last at a full hour under which it changed',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT d.document_id AS document_id, d.customer AS customer, d.currency AS currency, d.period_start AS period_start,
  d.period_end AS period_end, d.due AS due, d.tax AS tax, d.total AS total, d.amount_due AS amount_due,
  d.tick AS draft_tick, f.tick AS tick, f.as_of AS as_of, f.stored_to AS stored_to
FROM (SELECT * FROM drafts FINAL ORDER BY document_id, tick DESC, replaced DESC LIMIT 1 BY document_id) AS d
CROSS JOIN freshness AS f
WHERE NOT d.replaced
COMMENT 'Drafts of periods in their grace; drafts that wait for a person are in v_invoices';
