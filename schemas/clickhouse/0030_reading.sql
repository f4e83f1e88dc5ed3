-- 0030_reading: readers read panes of days that are not sealed, events of panes that are not sealed, and a customer's own
-- subjects; what is sealed is noted at each tick, so that no reader goes through all of the ledger for it.

-- Totals by day: days that are sealed, and periods that are billed, are not opened at all.
CREATE TABLE pane_totals_by_day (
  meter LowCardinality(String),
  meter_version LowCardinality(String),
  subject String CODEC(ZSTD(1)),
  pane DateTime('UTC') COMMENT 'start of the five minutes' CODEC(Delta, ZSTD(1)),
  grp String COMMENT 'group-by values as a JSON array in the meter''s order; null where absent' CODEC(ZSTD(1)),
  events UInt64 CODEC(T64, ZSTD(1)),
  invalid UInt64 COMMENT 'events whose value the meter cannot use: counted here, left out of total' CODEC(T64, ZSTD(1)),
  total Decimal(38, 12) CODEC(ZSTD(1)),
  ver UInt64 COMMENT 'what was known before the totals were read: number of the last audited tick × 2^40 + sum of the stored vector' CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(ver)
PARTITION BY toDate(pane)
ORDER BY (meter, meter_version, subject, pane, grp);

INSERT INTO pane_totals_by_day SELECT * FROM pane_totals;
RENAME TABLE IF EXISTS pane_totals TO pane_totals_by_month;
RENAME TABLE IF EXISTS pane_totals_by_day TO pane_totals;
-- What was sealed meanwhile; of equal rows one counts.
INSERT INTO pane_totals SELECT * FROM pane_totals_by_month;
DROP TABLE pane_totals_by_month SYNC;

-- How far the sealer has come: every pane that is not listed holds, for every meter of the catalogue, all that the ledger
-- names below the vector. One row, written at each tick; an older one is as true, and makes readers read more.
CREATE TABLE open_tails (
  one UInt8 DEFAULT 0,
  catalogue UInt64 COMMENT 'which meters: hash of their versions',
  panes Array(UInt32) COMMENT 'unix time / 300',
  vector Array(UInt64) COMMENT 'next_offset per partition of usage.events',
  audited UInt64 COMMENT 'the last audited tick when the panes were sealed; seals that knew of later ones are looked at',
  ver UInt64 COMMENT 'sum of the vector'
) ENGINE = ReplacingMergeTree(ver)
ORDER BY one;

-- Replaced by the sealer, for the meters of the catalogue and with conditions that the ledger's key can use. Panes that may
-- not hold all that is stored: what a reader takes of them beyond their seals is read from events.
CREATE VIEW open_panes AS
WITH (SELECT argMax(tuple(vector, panes, audited), ver) FROM open_tails WHERE catalogue = 0) AS tail
SELECT DISTINCT toDateTime(number * 300, 'UTC') AS pane
FROM (
  SELECT arrayJoin(tail.2) AS number
  UNION ALL
  SELECT arrayJoin(panes) FROM ledger WHERE topic = 'usage.events' AND next_offset > tail.1[k_partition + 1]
  UNION ALL
  SELECT intDiv(toUnixTimestamp(pane), 300) FROM seals WHERE ver >= (tail.3 + 1) * 1099511627776);

-- Whose each subject is from when until when; nobody's are left out.
CREATE VIEW attributed_spans AS
SELECT subject, customer, effective_from AS owned_from,
  leadInFrame(effective_from, 1, toDateTime64('2299-12-31', 3, 'UTC')) OVER (
    PARTITION BY subject ORDER BY effective_from ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS owned_to
FROM attributions_now;

-- Sealed panes, and what has come since they were sealed: never counted twice, never left out.
CREATE OR REPLACE VIEW subject_panes AS
(SELECT subject, meter, meter_version, pane, grp, events, invalid, total AS value, toUInt64(0) AS late
FROM pane_totals FINAL WHERE events > 0
SETTINGS optimize_move_to_prewhere_if_final = 1)
UNION ALL
SELECT m.subject, m.meter, m.meter_version, m.pane, m.grp, toUInt64(1), toUInt64(m.valid = 0), m.value,
  toUInt64(length(s.vector) > 0)
FROM (SELECT *, toStartOfInterval(ts, INTERVAL 5 MINUTE) AS pane FROM metered_events) AS m
LEFT JOIN (SELECT meter, meter_version, pane, vector FROM seals FINAL WHERE pane IN (SELECT pane FROM open_panes)) AS s
  ON m.meter = s.meter AND m.meter_version = s.meter_version AND m.pane = s.pane
WHERE m.k_offset >= s.vector[m.k_partition + 1];

-- Which days are sealed, as the day sealer saw it at a tick, and what it took into account. One row; an older one is as
-- true, and readers leave out more of its days.
CREATE TABLE noted_days (
  one UInt8 DEFAULT 0,
  catalogue UInt64 COMMENT 'which meters: hash of their versions',
  days Array(Tuple(String, String, Date, UInt64)) COMMENT 'meter, version, day, tick of the seal',
  whole Array(Date) COMMENT 'days sealed for each of the meters',
  splits Array(Tuple(String, Date)) COMMENT 'subjects that changed hands within a day, after their first event',
  vector Array(UInt64) COMMENT 'next_offset per partition of usage.events',
  audited Array(UInt64) COMMENT 'vector of the last audit that was known',
  opened Array(Tuple(Date, UInt8, UInt64)) COMMENT 'rows of opened_days that were known: day, why, known',
  attributed_to UInt64 COMMENT 'offset of billing.attributions behind the last one that was known',
  ver UInt64 COMMENT 'number of the tick'
) ENGINE = ReplacingMergeTree(ver)
ORDER BY one;

-- Replaced by the sealer, for the meters of the catalogue and with conditions that the ledger's key can use.
CREATE VIEW day_state AS
WITH
  (SELECT argMax(tuple(days, vector, audited, opened, attributed_to, splits, if(catalogue = 0, whole, [])), ver)
   FROM noted_days) AS noted,
  (SELECT groupUniqArray(day) FROM (
    SELECT toDate(toDateTime(arrayJoin(panes) * 300, 'UTC')) AS day FROM ledger
    WHERE topic = 'usage.events' AND next_offset > noted.2[k_partition + 1]
    UNION ALL
    SELECT day FROM opened_days WHERE NOT has(noted.4, (day, toUInt8(because), known))
    UNION ALL
    SELECT toDate(ts) FROM retractions WHERE k_offset >= noted.3[k_partition + 1]
    UNION ALL
    SELECT toDate(effective_from) FROM attributions WHERE k_offset >= noted.5)) AS touched
SELECT arrayFilter(x -> NOT has(touched, x.3), noted.1) AS sealed, arrayFilter(x -> NOT has(touched, x), noted.7) AS whole,
  noted.6 AS splits;

-- Sealed days, and panes where a day is not sealed or a subject has more than one owner in it. `total` adds up; `least`,
-- `greatest` and `last` are of sealed days alone. Days of subjects that are somebody's, and of those that are nobody's: a
-- question about one customer then finds its subjects first. Panes of whole days are in partitions that are not opened.
CREATE OR REPLACE VIEW usage_by_day AS
WITH (SELECT tuple(sealed, whole, splits) FROM day_state) AS state
SELECT o.customer AS customer, d.meter AS meter, d.meter_version AS meter_version, d.day AS day,
  d.grp AS grp, d.events AS events, d.invalid AS invalid, d.total AS total, toUInt64(0) AS late, d.least AS least,
  d.greatest AS greatest, d.last AS last, tuple(d.last_use.1, d.last_use.2, d.last_use.3) AS last_use, toUInt8(1) AS is_sealed
FROM (
  SELECT *, toDateTime64(day + 1, 3, 'UTC') AS ends FROM day_totals FINAL
  WHERE (meter, meter_version, day, tick) IN state.1 AND (subject, day) NOT IN state.3
  SETTINGS optimize_move_to_prewhere_if_final = 1) AS d
INNER JOIN attributed_spans AS o ON d.subject = o.subject
WHERE o.customer != '' AND d.ends > o.owned_from AND d.ends <= o.owned_to
UNION ALL
SELECT d.subject, d.meter, d.meter_version, d.day, d.grp, d.events, d.invalid, d.total, toUInt64(0), d.least,
  d.greatest, d.last, tuple(d.last_use.1, d.last_use.2, d.last_use.3), toUInt8(1)
FROM (
  SELECT *, toDateTime64(day + 1, 3, 'UTC') AS ends FROM day_totals FINAL
  WHERE (meter, meter_version, day, tick) IN state.1 AND (subject, day) NOT IN state.3
  SETTINGS optimize_move_to_prewhere_if_final = 1) AS d
ASOF LEFT JOIN attributions_now AS a ON d.subject = a.subject AND d.ends > a.effective_from
WHERE a.customer = ''
UNION ALL
SELECT customer, meter, meter_version, toDate(pane), grp, events, invalid, value, late, toDecimal128(0, 12),
  toDecimal128(0, 12), toDecimal128(0, 12), tuple(toInt64(0), toUInt64(0), toUInt16(0)), toUInt8(0)
FROM usage_by_pane
WHERE (toDate(pane) NOT IN state.2 AND (meter, meter_version, toDate(pane)) NOT IN arrayMap(x -> (x.1, x.2, x.3), state.1))
  OR (subject, toDate(pane)) IN state.3;

DROP VIEW split_days;

-- usage_by_pane for questions about one customer: of subjects that are somebody's, and of those that are nobody's, so that
-- its subjects are found first.
CREATE VIEW owned_panes AS
SELECT o.customer AS customer, u.subject AS subject, u.meter AS meter, u.meter_version AS meter_version, u.pane AS pane,
  u.grp AS grp, u.events AS events, u.invalid AS invalid, toDecimal256(u.value, 12) AS value, u.late AS late
FROM subject_panes AS u
INNER JOIN attributed_spans AS o ON u.subject = o.subject
WHERE o.customer != '' AND u.pane >= o.owned_from AND u.pane < o.owned_to
UNION ALL
SELECT u.subject, u.subject, u.meter, u.meter_version, u.pane, u.grp, u.events, u.invalid, toDecimal256(u.value, 12), u.late
FROM subject_panes AS u
ASOF LEFT JOIN attributions_now AS a ON u.subject = a.subject AND toDateTime64(u.pane, 3, 'UTC') >= a.effective_from
WHERE a.customer = '';

CREATE OR REPLACE VIEW v_usage_local_daily (
  customer String COMMENT 'who pays; the subject itself where it belongs to nobody',
  time_zone String COMMENT 'of the customer''s newest subscription; UTC without one',
  day Date COMMENT 'local day in that zone: of 23, 24 or 25 hours',
  meter String COMMENT 'name in the catalogue',
  meter_version String COMMENT 'hash of its definition; a running subscription keeps its version',
  grp String COMMENT 'group-by values as a JSON array in the meter''s order; null where absent',
  events UInt64 COMMENT 'events that count',
  invalid UInt64 COMMENT 'of them, events whose value the meter cannot use: left out of value',
  value Nullable(Decimal(38, 12)) COMMENT 'sum, or number for a count; null for a meter whose values do not add up: v_usage_daily',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored',
  note String COMMENT 'why there is no value; empty where there is one'
) AS
SELECT u.customer AS customer, u.zone AS time_zone, u.day AS day, u.meter AS meter, u.meter_version AS meter_version,
  u.grp AS grp, u.events_of AS events, u.invalid_of AS invalid,
  if(k.aggregation IN ('count', 'sum'), toDecimal128(u.total_of, 12), NULL) AS value, f.tick AS tick, f.as_of AS as_of,
  f.stored_to AS stored_to,
  multiIf(isNotNull(value), '', k.aggregation = '', 'this version of the meter is not in the catalogue yet',
    concat(k.aggregation, ': does not add up over parts of a local day')) AS note
FROM (
  SELECT p.customer AS customer, if(z.time_zone = '', 'UTC', z.time_zone) AS zone,
    toDate(formatDateTime(p.pane, '%F', zone)) AS day, p.meter AS meter, p.meter_version AS meter_version, p.grp AS grp,
    sum(p.events) AS events_of, sum(p.invalid) AS invalid_of, sum(p.value) AS total_of
  FROM owned_panes AS p
  LEFT JOIN (SELECT customer, argMax(time_zone, (starts_at, k_offset)) AS time_zone FROM subscriptions FINAL GROUP BY customer) AS z
    ON p.customer = z.customer
  GROUP BY p.customer, zone, day, p.meter, p.meter_version, p.grp
  SETTINGS allow_nonconst_timezone_arguments = 1) AS u
LEFT JOIN meter_kinds AS k ON u.meter = k.meter AND u.meter_version = k.meter_version
CROSS JOIN freshness AS f
COMMENT 'Usage per customer, meter, group and local day';
