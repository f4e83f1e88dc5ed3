-- 0024_days: usage of whole UTC days, computed once when a day is over: for readers over many customers, and for closes
-- where nothing has come since.

-- A row per meter version, subject, group, day and tick of the seal: what the events below that tick's vector add up to.
-- A function of a log prefix, so that a row is never changed; days that are computed again get rows of a later tick.
CREATE TABLE day_totals (
  meter LowCardinality(String),
  meter_version LowCardinality(String),
  subject String CODEC(ZSTD(1)),
  day Date COMMENT 'UTC' CODEC(Delta, ZSTD(1)),
  grp String COMMENT 'group-by values as a JSON array in the meter''s order; null where absent' CODEC(ZSTD(1)),
  tick UInt64 COMMENT 'under whose vector it was computed' CODEC(ZSTD(1)),
  events UInt64 CODEC(T64, ZSTD(1)),
  invalid UInt64 COMMENT 'events whose value the meter cannot use: in no other number' CODEC(T64, ZSTD(1)),
  total Decimal(76, 12) COMMENT 'sum; the number for a count' CODEC(ZSTD(1)),
  least Decimal(38, 12) COMMENT '0 without a valid event, as greatest and last' CODEC(ZSTD(1)),
  greatest Decimal(38, 12) CODEC(ZSTD(1)),
  last Decimal(38, 12) COMMENT 'value of the latest valid event' CODEC(ZSTD(1)),
  last_use Tuple(at Int64, k_offset UInt64, k_partition UInt16) COMMENT 'its place in the order of time and arrival' CODEC(ZSTD(1)),
  first_use Tuple(at Int64, k_offset UInt64, k_partition UInt16) COMMENT 'place of the first event' CODEC(ZSTD(1)),
  fingerprint UInt128 COMMENT 'as in period_usage: fingerprints add up over days' CODEC(NONE)
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (meter, meter_version, subject, day, grp, tick);

-- Which days are sealed, and what was known then. Written after the totals.
CREATE TABLE day_seals (
  meter LowCardinality(String),
  meter_version LowCardinality(String),
  day Date,
  tick UInt64,
  time DateTime64(3, 'UTC') COMMENT 'of the tick',
  vector Array(UInt64) COMMENT 'of the tick: next_offset per partition of usage.events',
  retracted UInt64 COMMENT 'copies of the day below the vector that were known not to count, read before the totals',
  erased_to UInt64 COMMENT 'offset of billing.erasures behind the last one carried out, read before the totals'
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (meter, meter_version, day, tick);

-- Days on which something changed that no ledger row names: a seal counts only if it knew.
CREATE TABLE opened_days (
  day Date,
  because Enum8('correction' = 1, 'erasure' = 2),
  known UInt64 COMMENT 'sum of the vector, or erased_to: the greatest counts',
  vector Array(UInt64) COMMENT 'seals below it did not know the correction',
  erased_to UInt64 COMMENT 'seals below it did not know the erasure'
) ENGINE = ReplacingMergeTree(known)
ORDER BY (day, because);

-- How far the ledger names a day, per partition: a summary of the ledger below a vector, so that readers need not read
-- all of it. The row of day 1970-01-01 is that vector, written last.
CREATE TABLE touched_days (
  day Date,
  k_partition UInt16,
  next_offset UInt64
) ENGINE = ReplacingMergeTree(next_offset)
ORDER BY (day, k_partition);

CREATE VIEW day_touches AS
WITH (SELECT groupArrayInsertAt(0, 4096)(next_offset, k_partition) FROM touched_days FINAL WHERE day = '1970-01-01') AS summed_to
SELECT day, k_partition, max(next_offset) AS next_offset
FROM (
  SELECT day, k_partition, next_offset FROM touched_days WHERE day > '1970-01-01'
  UNION ALL
  SELECT toDate(toDateTime(arrayJoin(panes) * 300, 'UTC'), 'UTC') AS day, k_partition, next_offset
  FROM ledger WHERE topic = 'usage.events' AND next_offset > summed_to[k_partition + 1])
GROUP BY day, k_partition;

-- Seals that know everything that is stored of their day, the newest of each.
CREATE VIEW sealed_days AS
SELECT s.meter AS meter, s.meter_version AS meter_version, s.day AS day, max(s.tick) AS tick
FROM (SELECT * FROM day_seals) AS s
LEFT JOIN (SELECT day, groupArray((k_partition, next_offset)) AS ends FROM day_touches GROUP BY day) AS t ON s.day = t.day
LEFT JOIN (
  SELECT day, argMaxIf(vector, known, because = 'correction') AS vector, max(erased_to) AS erased_to
  FROM opened_days GROUP BY day) AS o ON s.day = o.day
LEFT JOIN (
  SELECT toDate(ts) AS day, groupArray((k_partition, k_offset)) AS places FROM retractions FINAL GROUP BY day) AS r
  ON s.day = r.day
WHERE arrayAll(x -> x.2 <= s.vector[x.1 + 1], t.ends)
  AND arrayAll((x, place) -> x <= s.vector[place], o.vector, arrayEnumerate(o.vector)) AND s.erased_to >= o.erased_to
  AND arrayCount(x -> x.2 < s.vector[x.1 + 1], r.places) = s.retracted
GROUP BY s.meter, s.meter_version, s.day;

-- Replaced by the sealer: how each meter version of the catalogue combines values.
CREATE VIEW meter_kinds AS SELECT '' AS meter, '' AS meter_version, '' AS aggregation WHERE 0;

-- Subjects and sealed days within which another customer became their owner, after the first event.
CREATE VIEW split_days AS
SELECT DISTINCT d.subject AS subject, d.day AS day
FROM day_totals AS d
INNER JOIN (SELECT subject, effective_from, toDate(effective_from) AS day FROM attributions_now) AS a
  ON d.subject = a.subject AND d.day = a.day
WHERE toUnixTimestamp64Milli(a.effective_from) > d.first_use.1;

-- Sealed days, and panes where a day is not sealed or has more than one owner. `total` adds up; `least`, `greatest` and
-- `last` are of sealed days alone.
CREATE VIEW usage_by_day AS
SELECT if(a.customer = '', d.subject, a.customer) AS customer, d.meter AS meter, d.meter_version AS meter_version, d.day AS day,
  d.grp AS grp, d.events AS events, d.invalid AS invalid, d.total AS total, toUInt64(0) AS late, d.least AS least,
  d.greatest AS greatest, d.last AS last, tuple(d.last_use.1, d.last_use.2, d.last_use.3) AS last_use, toUInt8(1) AS is_sealed
FROM (
  SELECT *, toDateTime64(day + 1, 3, 'UTC') AS ends FROM day_totals FINAL
  WHERE (meter, meter_version, day, tick) IN (SELECT meter, meter_version, day, tick FROM sealed_days)) AS d
ASOF LEFT JOIN attributions_now AS a ON d.subject = a.subject AND d.ends > a.effective_from
WHERE toUnixTimestamp64Milli(a.effective_from) <= d.first_use.1
UNION ALL
SELECT customer, meter, meter_version, toDate(pane), grp, events, invalid, value, late, toDecimal128(0, 12),
  toDecimal128(0, 12), toDecimal128(0, 12), tuple(toInt64(0), toUInt64(0), toUInt16(0)), toUInt8(0)
FROM usage_by_pane
WHERE (meter, meter_version, toDate(pane)) NOT IN (SELECT meter, meter_version, day FROM sealed_days)
  OR (subject, toDate(pane)) IN (SELECT subject, day FROM split_days);

DROP VIEW v_usage_monthly;
DROP VIEW v_usage_daily;
DROP VIEW v_usage_local_daily;

CREATE VIEW v_usage_daily (
  customer String COMMENT 'who pays; the subject itself where it belongs to nobody',
  day Date COMMENT 'UTC',
  meter String COMMENT 'name in the catalogue',
  meter_version String COMMENT 'hash of its definition; a running subscription keeps its version',
  grp String COMMENT 'group-by values as a JSON array in the meter''s order; null where absent',
  events UInt64 COMMENT 'events that count',
  invalid UInt64 COMMENT 'of them, events whose value the meter cannot use: left out of value',
  value Nullable(Decimal(38, 12)) COMMENT 'the meter''s quantity of these events, without carried state; null where note says why',
  late UInt64 COMMENT 'of them, events that came after their pane was sealed; counted from raw until it is sealed again',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored',
  note String COMMENT 'why there is no value; empty where there is one'
) AS
SELECT u.customer AS customer, u.day AS day, u.meter AS meter, u.meter_version AS meter_version, u.grp AS grp,
  u.events_of AS events, u.invalid_of AS invalid,
  multiIf(k.aggregation IN ('count', 'sum'), toDecimal128(u.total_of, 12),
    u.sealed = 0 OR k.aggregation NOT IN ('min', 'max', 'avg', 'latest'), NULL,
    u.events_of = u.invalid_of, toDecimal128(0, 12),
    k.aggregation = 'min', u.least_of, k.aggregation = 'max', u.greatest_of, k.aggregation = 'latest', u.last_of,
    reinterpret(toInt128(intDiv(2 * abs(toInt256(reinterpretAsInt256(u.total_of))) + toInt256(u.events_of - u.invalid_of),
      2 * toInt256(u.events_of - u.invalid_of)) * sign(u.total_of)), 'Decimal(38, 12)')) AS value,
  u.late_of AS late, f.tick AS tick, f.as_of AS as_of, f.stored_to AS stored_to,
  multiIf(isNotNull(value), '', k.aggregation = '', 'this version of the meter is not in the catalogue yet',
    k.aggregation IN ('min', 'max', 'avg', 'latest'), concat(k.aggregation, ': known once the day is over and sealed'),
    concat(k.aggregation, ': does not add up over parts; computed from raw events, for a close and by tally price --customer')) AS note
FROM (
  SELECT customer, day, meter, meter_version, grp, sum(events) AS events_of, sum(invalid) AS invalid_of, sum(total) AS total_of,
    sum(late) AS late_of, minIf(least, events > invalid) AS least_of, maxIf(greatest, events > invalid) AS greatest_of,
    argMaxIf(last, last_use, events > invalid) AS last_of, min(is_sealed) AS sealed
  FROM usage_by_day GROUP BY customer, day, meter, meter_version, grp) AS u
LEFT JOIN meter_kinds AS k ON u.meter = k.meter AND u.meter_version = k.meter_version
CROSS JOIN freshness AS f
COMMENT 'Usage per customer, meter, group and day';

CREATE VIEW v_usage_monthly (
  customer String COMMENT 'who pays; the subject itself where it belongs to nobody',
  month Date COMMENT 'first day of the month, UTC',
  meter String COMMENT 'name in the catalogue',
  meter_version String COMMENT 'hash of its definition; a running subscription keeps its version',
  grp String COMMENT 'group-by values as a JSON array in the meter''s order; null where absent',
  events UInt64 COMMENT 'events that count',
  invalid UInt64 COMMENT 'of them, events whose value the meter cannot use: left out of value',
  value Nullable(Decimal(38, 12)) COMMENT 'the meter''s quantity of these events, without carried state; null where note says why',
  late UInt64 COMMENT 'of them, events that came after their pane was sealed; counted from raw until it is sealed again',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored',
  note String COMMENT 'why there is no value; empty where there is one'
) AS
SELECT u.customer AS customer, u.month AS month, u.meter AS meter, u.meter_version AS meter_version, u.grp AS grp,
  u.events_of AS events, u.invalid_of AS invalid,
  multiIf(k.aggregation IN ('count', 'sum'), toDecimal128(u.total_of, 12),
    u.sealed = 0 OR k.aggregation NOT IN ('min', 'max', 'avg', 'latest'), NULL,
    u.events_of = u.invalid_of, toDecimal128(0, 12),
    k.aggregation = 'min', u.least_of, k.aggregation = 'max', u.greatest_of, k.aggregation = 'latest', u.last_of,
    reinterpret(toInt128(intDiv(2 * abs(toInt256(reinterpretAsInt256(u.total_of))) + toInt256(u.events_of - u.invalid_of),
      2 * toInt256(u.events_of - u.invalid_of)) * sign(u.total_of)), 'Decimal(38, 12)')) AS value,
  u.late_of AS late, f.tick AS tick, f.as_of AS as_of, f.stored_to AS stored_to,
  multiIf(isNotNull(value), '', k.aggregation = '', 'this version of the meter is not in the catalogue yet',
    k.aggregation IN ('min', 'max', 'avg', 'latest'), concat(k.aggregation, ': known once every day with usage is over and sealed'),
    concat(k.aggregation, ': does not add up over parts; computed from raw events, for a close and by tally price --customer')) AS note
FROM (
  SELECT customer, toStartOfMonth(day) AS month, meter, meter_version, grp, sum(events) AS events_of, sum(invalid) AS invalid_of,
    sum(total) AS total_of, sum(late) AS late_of, minIf(least, events > invalid) AS least_of,
    maxIf(greatest, events > invalid) AS greatest_of, argMaxIf(last, last_use, events > invalid) AS last_of,
    min(is_sealed) AS sealed
  FROM usage_by_day GROUP BY customer, month, meter, meter_version, grp) AS u
LEFT JOIN meter_kinds AS k ON u.meter = k.meter AND u.meter_version = k.meter_version
CROSS JOIN freshness AS f
COMMENT 'Usage per customer, meter, group and month';

CREATE VIEW v_usage_local_daily (
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
  FROM usage_by_pane AS p
  LEFT JOIN (SELECT customer, argMax(time_zone, (starts_at, k_offset)) AS time_zone FROM subscriptions FINAL GROUP BY customer) AS z
    ON p.customer = z.customer
  GROUP BY p.customer, zone, day, p.meter, p.meter_version, p.grp
  SETTINGS allow_nonconst_timezone_arguments = 1) AS u
LEFT JOIN meter_kinds AS k ON u.meter = k.meter AND u.meter_version = k.meter_version
CROSS JOIN freshness AS f
COMMENT 'Usage per customer, meter, group and local day';
