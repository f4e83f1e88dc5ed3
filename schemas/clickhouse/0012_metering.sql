-- 0012_metering: what metering costs, how many groups a meter has, usage by local days.

-- Panes tile the days of every zone, as offsets are whole quarters of an hour. Values are added in 76 digits: what does
-- not fit a column of a view is an error there and never a wrapped number.
CREATE OR REPLACE VIEW usage_by_pane AS
SELECT if(a.customer = '', u.subject, a.customer) AS customer, u.subject AS subject, u.meter AS meter,
  u.meter_version AS meter_version, u.pane AS pane, u.grp AS grp, u.events AS events, u.invalid AS invalid,
  toDecimal256(u.value, 12) AS value, u.late AS late
FROM (
  SELECT subject, meter, meter_version, pane, grp, events, invalid, total AS value, toUInt64(0) AS late
  FROM pane_totals FINAL WHERE events > 0
  UNION ALL
  SELECT m.subject, m.meter, m.meter_version, m.pane, m.grp, toUInt64(1), toUInt64(m.valid = 0), m.value,
    toUInt64(length(s.vector) > 0)
  FROM (SELECT *, toStartOfInterval(ts, INTERVAL 5 MINUTE) AS pane FROM metered_events) AS m
  LEFT JOIN (SELECT meter, meter_version, pane, vector FROM seals FINAL) AS s
    ON m.meter = s.meter AND m.meter_version = s.meter_version AND m.pane = s.pane
  WHERE m.k_offset >= s.vector[m.k_partition + 1]) AS u
ASOF LEFT JOIN attributions_now AS a
  ON u.subject = a.subject AND toDateTime64(u.pane, 3, 'UTC') >= a.effective_from;

CREATE VIEW v_usage_local_daily (
  customer String COMMENT 'who pays; the subject itself where it belongs to nobody',
  time_zone String COMMENT 'of the customer''s newest subscription; UTC without one',
  day Date COMMENT 'local day in that zone: of 23, 24 or 25 hours',
  meter String COMMENT 'name in the catalogue',
  meter_version String COMMENT 'hash of its definition; a running subscription keeps its version',
  grp String COMMENT 'group-by values as a JSON array in the meter''s order; null where absent',
  events UInt64 COMMENT 'events that count',
  invalid UInt64 COMMENT 'of them, events whose value the meter cannot use: left out of value',
  value Decimal(38, 12) COMMENT 'sum, or number for a count',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT p.customer AS customer, p.zone AS time_zone, p.day AS day, p.meter AS meter, p.meter_version AS meter_version,
  p.grp AS grp, sum(p.events) AS events, sum(p.invalid) AS invalid, sum(p.value) AS value, any(f.tick) AS tick,
  any(f.as_of) AS as_of, any(f.stored_to) AS stored_to
FROM (
  SELECT u.*, if(z.time_zone = '', 'UTC', z.time_zone) AS zone, toDate(formatDateTime(u.pane, '%F', zone)) AS day
  FROM usage_by_pane AS u
  LEFT JOIN (SELECT customer, argMax(time_zone, (starts_at, k_offset)) AS time_zone FROM subscriptions FINAL GROUP BY customer) AS z
    ON u.customer = z.customer
  SETTINGS allow_nonconst_timezone_arguments = 1) AS p
CROSS JOIN freshness AS f
GROUP BY p.customer, p.zone, p.day, p.meter, p.meter_version, p.grp
COMMENT 'Usage per customer, meter, group and local day';

CREATE VIEW v_meter_groups (
  customer String COMMENT 'who pays',
  subscription String COMMENT 'id of the subscription',
  meter String COMMENT 'name in the catalogue',
  meter_version String COMMENT 'hash of its definition',
  period_start DateTime64(3, 'UTC') COMMENT 'start of the first period that is not billed',
  groups UInt64 COMMENT 'combinations of group-by values in it so far',
  groups_max UInt64 COMMENT 'all beyond are one group, whose usage has no price: the draft waits',
  state String COMMENT 'ok, alert from 80 percent on, or overflow',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT customer, subscription, meter, meter_version, period_start, uniqExact(grp) AS groups, toUInt64(10000) AS groups_max,
  multiIf(groups > groups_max, 'overflow', groups * 10 >= groups_max * 8, 'alert', 'ok') AS state, any(c.tick) AS tick,
  any(c.as_of) AS as_of, any(c.stored_to) AS stored_to
FROM v_usage_current AS c
GROUP BY customer, subscription, meter, meter_version, period_start
COMMENT 'How near customers are to the limit of groups of a meter';

-- What a query of a meter cost, from the server's own log of queries; collected by the sealer and by `tally cost`.
CREATE TABLE metering_costs (
  meter LowCardinality(String),
  meter_version LowCardinality(String),
  work LowCardinality(String) COMMENT 'seal, backfill, close or gate',
  at DateTime64(3, 'UTC') COMMENT 'when the query ended, by the server''s clock',
  query_id String,
  read_rows UInt64,
  read_bytes UInt64 COMMENT 'uncompressed',
  cpu_us UInt64 COMMENT 'user and system time of its threads',
  duration_ms UInt64
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (meter, meter_version, work, at, query_id)
TTL toDateTime(at) + INTERVAL 13 MONTH;

CREATE VIEW v_metering_cost (
  meter String COMMENT 'name in the catalogue',
  meter_version String COMMENT 'hash of its definition',
  customer String COMMENT 'who pays; empty for a meter that has counted nothing',
  events UInt64 COMMENT 'events that count',
  queries UInt64 COMMENT 'of the meter, for all customers: seals, backfills, closes and their gates',
  read_rows UInt64 COMMENT 'rows read by them; the customer''s part, by events',
  read_bytes UInt64 COMMENT 'bytes read by them, uncompressed; the customer''s part, by events',
  cpu_us UInt64 COMMENT 'query CPU in microseconds; the customer''s part, by events',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored',
  measured_to DateTime64(3, 'UTC') COMMENT 'freshness: end of the newest query that was measured'
) AS
SELECT c.meter AS meter, c.meter_version AS meter_version, u.customer AS customer, u.events AS events, c.queries AS queries,
  if(u.of_all = 0, c.read_rows, toUInt64(intDiv(toUInt128(c.read_rows) * u.events, greatest(u.of_all, 1)))) AS read_rows,
  if(u.of_all = 0, c.read_bytes, toUInt64(intDiv(toUInt128(c.read_bytes) * u.events, greatest(u.of_all, 1)))) AS read_bytes,
  if(u.of_all = 0, c.cpu_us, toUInt64(intDiv(toUInt128(c.cpu_us) * u.events, greatest(u.of_all, 1)))) AS cpu_us,
  f.tick AS tick, f.as_of AS as_of, f.stored_to AS stored_to, c.measured_to AS measured_to
FROM (
  SELECT meter, meter_version, count() AS queries, sum(read_rows) AS read_rows, sum(read_bytes) AS read_bytes,
    sum(cpu_us) AS cpu_us, max(at) AS measured_to
  FROM metering_costs FINAL GROUP BY meter, meter_version) AS c
LEFT JOIN (
  SELECT meter, meter_version, customer, events, sum(events) OVER (PARTITION BY meter, meter_version) AS of_all
  FROM (SELECT meter, meter_version, customer, sum(events) AS events FROM usage_by_pane GROUP BY meter, meter_version, customer)) AS u
  ON c.meter = u.meter AND c.meter_version = u.meter_version
CROSS JOIN freshness AS f
COMMENT 'What metering costs, per meter and customer';

-- What the contract of views asks of every view.
ALTER TABLE v_leaks MODIFY COMMENT 'Usage that would be free unseen';
ALTER TABLE v_leaks COMMENT COLUMN events 'how many';
ALTER TABLE v_leaks COMMENT COLUMN as_of 'freshness: billing time, the time of the last tick';
ALTER TABLE v_leaks COMMENT COLUMN stored_to 'freshness: broker time of the newest usage that is stored';
