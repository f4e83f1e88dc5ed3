-- 0021_credits: wallets of prepaid credits. A wallet is the fold of these entries; each has its place in the log of documents.

CREATE TABLE credit_entries (
  customer String,
  k_offset UInt64 COMMENT 'of the record of billing.finalisations that it follows from',
  place UInt32 COMMENT 'among the entries of that record',
  kind LowCardinality(String) COMMENT 'ordered, sold, granted, burnt, returned, expired, revoked, withdrawn, closed, recharge_rule',
  grant_id String COMMENT 'also of a sale: the grant that it brings has the same id; empty for a recharge rule',
  currency LowCardinality(String),
  amount Decimal(38, 12) COMMENT 'what it adds to what is left of the grant',
  on_order Decimal(38, 12) COMMENT 'what it adds to credits that are sold and not paid',
  at DateTime64(3, 'UTC') COMMENT 'billing time',
  document String COMMENT 'id of the document that did it; empty without one',
  record String COMMENT 'WalletEntry, JSON'
) ENGINE = ReplacingMergeTree
ORDER BY (customer, k_offset, place)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE VIEW v_credits (
  customer String COMMENT 'whose credit it is',
  currency String COMMENT 'ISO 4217, or a custom unit',
  grant_id String COMMENT 'the request that granted or ordered it',
  state String COMMENT 'usable, not yet, used up, expired, revoked, withdrawn (the money that paid for it went back)',
  funding String COMMENT 'free, or paid: then what is left is owed to the customer',
  treatment String COMMENT 'payment (pays a total with tax) or discount (drawn before tax)',
  priority Nullable(Int64) COMMENT 'a lower one is burnt first, none last',
  effective_at DateTime64(3, 'UTC') COMMENT 'usable from then on',
  expires_at Nullable(DateTime64(3, 'UTC')) COMMENT 'exclusive; null for never',
  applies_to Array(String) COMMENT 'charges that it may pay; empty for all',
  granted Decimal(38, 12) COMMENT 'granted = burnt + expired + revoked + withdrawn + amount_left',
  burnt Decimal(38, 12) COMMENT 'drawn by final documents, less what came back',
  returned Decimal(38, 12) COMMENT 'what came back of it, by credit notes and voids',
  expired Decimal(38, 12) COMMENT 'what was left when it expired',
  revoked Decimal(38, 12) COMMENT 'what was left when it was taken back',
  withdrawn Decimal(38, 12) COMMENT 'what is not usable until the sale is paid again',
  amount_left Decimal(38, 12) COMMENT 'what can still be drawn while it is valid',
  usable Decimal(38, 12) COMMENT 'what can be drawn at the last tick',
  position UInt64 COMMENT 'offset of billing.finalisations behind the last entry of it',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT g.customer AS customer, g.currency AS currency, g.grant_id AS grant_id,
  multiIf(g.withdrawn > 0, 'withdrawn', g.revoked > 0, 'revoked', f.as_of < g.effective_at, 'not yet',
    g.expires_at IS NOT NULL AND f.as_of >= g.expires_at, 'expired', g.amount_left = 0, 'used up', 'usable') AS state,
  g.funding AS funding, g.treatment AS treatment, g.priority AS priority, g.effective_at AS effective_at,
  g.expires_at AS expires_at, g.applies_to AS applies_to, g.granted AS granted, g.burnt AS burnt,
  g.returned AS returned, g.expired AS expired, g.revoked AS revoked, g.withdrawn AS withdrawn,
  g.amount_left AS amount_left,
  if(f.as_of >= g.effective_at AND (g.expires_at IS NULL OR f.as_of < g.expires_at), g.amount_left, toDecimal128(0, 12))
    AS usable,
  g.position AS position, f.tick AS tick, f.as_of AS as_of, f.stored_to AS stored_to
FROM (
  SELECT customer, currency, grant_id,
    argMinIf(record, k_offset, kind = 'granted') AS opening,
    JSONExtractString(opening, 'terms', 'funding') AS funding, JSONExtractString(opening, 'terms', 'treatment') AS treatment,
    JSONExtract(opening, 'terms', 'priority', 'Nullable(Int64)') AS priority,
    parseDateTime64BestEffortOrZero(JSONExtractString(opening, 'terms', 'effective_at'), 3, 'UTC') AS effective_at,
    parseDateTime64BestEffortOrNull(JSONExtractString(opening, 'terms', 'expires_at'), 3, 'UTC') AS expires_at,
    JSONExtract(opening, 'terms', 'applies_to', 'Array(String)') AS applies_to,
    toDecimal128OrZero(JSONExtractString(opening, 'terms', 'amount'), 12) AS granted,
    -sumIf(amount, kind IN ('burnt', 'returned')) AS burnt, sumIf(amount, kind = 'returned') AS returned,
    -sumIf(amount, kind = 'expired') AS expired, -sumIf(amount, kind = 'revoked') AS revoked,
    sum(amount) AS amount_left, granted - burnt - expired - revoked - amount_left AS withdrawn,
    max(k_offset) + 1 AS position
  FROM (SELECT * FROM credit_entries FINAL)
  GROUP BY customer, currency, grant_id
  HAVING countIf(kind = 'granted') > 0
) AS g CROSS JOIN freshness AS f
COMMENT 'Prepaid credits: each grant, what became of it and what is left';

CREATE VIEW v_credit_entries (
  customer String COMMENT 'whose credit it is',
  currency String COMMENT 'ISO 4217, or a custom unit',
  grant_id String COMMENT 'the request that granted or ordered it; empty for a recharge rule',
  kind String COMMENT 'ordered, sold, granted, burnt, returned, expired, revoked, withdrawn, closed, recharge_rule',
  amount Decimal(38, 12) COMMENT 'what it adds to what is left of the grant',
  on_order Decimal(38, 12) COMMENT 'what it adds to credits that are sold and not paid',
  at DateTime64(3, 'UTC') COMMENT 'billing time',
  document String COMMENT 'id of the document that did it; empty without one',
  reason String COMMENT 'why, or the number of the document',
  position UInt64 COMMENT 'offset of the record of billing.finalisations',
  place UInt32 COMMENT 'among the entries of that record',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT e.customer AS customer, e.currency AS currency, e.grant_id AS grant_id, e.kind AS kind, e.amount AS amount,
  e.on_order AS on_order, e.at AS at, e.document AS document, JSONExtractString(e.record, 'reason') AS reason,
  e.k_offset AS position, e.place AS place, f.tick AS tick, f.as_of AS as_of, f.stored_to AS stored_to
FROM (SELECT * FROM credit_entries FINAL) AS e CROSS JOIN freshness AS f
COMMENT 'Everything that happened to prepaid credits, in the order of the log';
