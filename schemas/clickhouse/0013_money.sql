-- 0013_money: double-entry bookkeeping, and what is asked of payment services. Functions of billing.finalisations.

ALTER TABLE invoices
  ADD COLUMN IF NOT EXISTS receivable String COMMENT 'Receivable, JSON: payments, attempts to collect, disputes; empty for a draft and a credit note',
  ADD COLUMN IF NOT EXISTS next_step_at Nullable(DateTime64(3, 'UTC')) COMMENT 'the first tick at or after this collects or gives up';

-- Postings of transactions; those of one id add up to zero. Positive is debit.
CREATE TABLE postings (
  id UUID COMMENT 'of the transaction, derived from what caused it',
  customer String,
  currency LowCardinality(String),
  at DateTime64(3, 'UTC') COMMENT 'billing time',
  cause LowCardinality(String),
  document String COMMENT 'id of the invoice or credit note; empty for money without one',
  detail String,
  book LowCardinality(String) COMMENT 'receivable, revenue, tax, cash, disputed, customer_balance, unapplied, prepaid_credits, bad_debt',
  amount Decimal(38, 12)
) ENGINE = ReplacingMergeTree
ORDER BY (customer, currency, id, book)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Attempts to collect; the key is that of the request for ever.
CREATE TABLE payment_requests (
  key UUID,
  document UUID,
  attempt UInt32,
  customer String,
  tick UInt64,
  record String COMMENT 'PaymentRequest, JSON'
) ENGINE = ReplacingMergeTree
ORDER BY (document, attempt)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What is told to customers, under the key that a notice has for ever; and commands that follow for subscriptions.
CREATE TABLE notices (key UUID, customer String, record String COMMENT 'Alert, JSON')
ENGINE = ReplacingMergeTree ORDER BY key SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE collection_commands (key String COMMENT 'the request id', customer String, record String COMMENT 'the command, JSON')
ENGINE = ReplacingMergeTree ORDER BY key SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Keys that are out already. Only saves looking: the topics are the truth.
CREATE TABLE sent_records (key String) ENGINE = ReplacingMergeTree ORDER BY key;
