-- 0017_money_views: the books for readers. Ages come from the last tick, never from a clock.

CREATE VIEW v_postings (
  transaction UUID COMMENT 'postings of one transaction add up to zero',
  customer String COMMENT 'whose money it is',
  currency String COMMENT 'ISO 4217, or a custom unit',
  at DateTime64(3, 'UTC') COMMENT 'billing time at which it was booked',
  cause String COMMENT 'invoiced, credited, paid, refunded, written_off …',
  document String COMMENT 'id of the invoice or credit note; empty for money without one',
  detail String COMMENT 'why it was booked like this, where that is not plain',
  book String COMMENT 'receivable, revenue, tax, cash, disputed, customer_balance, unapplied, prepaid_credits, bad_debt',
  amount Decimal(38, 12) COMMENT 'positive is debit, negative is credit',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT p.id AS transaction, p.customer AS customer, p.currency AS currency, p.at AS at, p.cause AS cause,
  p.document AS document, p.detail AS detail, p.book AS book, p.amount AS amount, f.tick AS tick, f.as_of AS as_of,
  f.stored_to AS stored_to
FROM (SELECT * FROM postings FINAL) AS p CROSS JOIN freshness AS f
COMMENT 'Double-entry bookkeeping: what was invoiced, credited, paid, refunded and written off';

CREATE VIEW v_receivables (
  customer String COMMENT 'who owes',
  currency String COMMENT 'ISO 4217, or a custom unit',
  number String COMMENT 'of the invoice',
  document_id UUID COMMENT 'of the invoice',
  status String COMMENT 'open, past_due or uncollectible',
  due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when it is to be paid',
  open_amount Decimal(38, 12) COMMENT 'what is still to be paid of it',
  days_overdue Int64 COMMENT 'whole days since it was due, at the last tick; 0 before that',
  age String COMMENT 'not due, 1-30, 31-60, 61-90, over 90',
  attempts UInt64 COMMENT 'how often it was tried to collect it',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT i.customer AS customer, i.currency AS currency, i.number AS number, i.document_id AS document_id,
  i.status AS status, i.due_at AS due_at, i.open_amount AS open_amount,
  greatest(0, dateDiff('second', ifNull(i.due_at, f.as_of), f.as_of) DIV 86400) AS days_overdue,
  multiIf(f.as_of < ifNull(i.due_at, f.as_of) OR days_overdue = 0, 'not due', days_overdue <= 30, '1-30',
    days_overdue <= 60, '31-60', days_overdue <= 90, '61-90', 'over 90') AS age,
  JSONLength(i.receivable, 'attempts') AS attempts, f.tick AS tick, f.as_of AS as_of, f.stored_to AS stored_to
FROM (SELECT * FROM invoices FINAL) AS i CROSS JOIN freshness AS f
WHERE i.kind = 'invoice' AND i.open_amount > 0 AND i.status IN ('open', 'past_due', 'uncollectible')
COMMENT 'What customers owe, with its age';
