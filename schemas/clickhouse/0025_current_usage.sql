-- 0025_current_usage: what a running subscription has used is read for its subjects alone.

-- The setting lets a filter on subjects that a join finds reach the reading of events below FINAL. It moves conditions on
-- columns of the sorting key alone: copies of a row share them, so it cannot part them before FINAL has chosen. What is
-- excluded is compared with a column beside the key (no offset is that great), or identities of all rows would be read first.
CREATE OR REPLACE VIEW counted_events_now AS
(SELECT type, subject, ts, source, id, k_partition, bitNot(inv_offset) AS k_offset, appended_at, data, if(exact = '', data, exact) AS d
FROM events FINAL
WHERE (source, id, inv_offset = 0) NOT IN (
    SELECT (first.1, first.2, 0) FROM (
      SELECT argMin(tuple(target_source, target_id), (appended_at, k_partition, k_offset)) AS first
      FROM corrections GROUP BY source, id))
  AND (type, subject, ts, source, id, k_epoch, k_partition, inv_offset = 0) NOT IN (
    SELECT type, subject, ts, source, id, k_epoch, k_partition, 0 FROM retractions)
SETTINGS optimize_move_to_prewhere_if_final = 1)
UNION ALL
SELECT newest.4, newest.5, newest.6, newest.1, newest.2, newest.7, newest.8, newest.9, newest.10, newest.11
FROM (
  SELECT argMax(first, (first.9, first.7, first.8)) AS newest
  FROM (
    SELECT argMin(tuple(target_source, target_id, action, type, subject, ts, k_partition, k_offset, appended_at, data,
      if(exact = '', data, exact)), (appended_at, k_partition, k_offset)) AS first
    FROM corrections GROUP BY source, id)
  GROUP BY first.1, first.2)
WHERE newest.3 = 'replace';

-- Sealed panes, and what has come since they were sealed: never counted twice, never left out.
CREATE VIEW subject_panes AS
(SELECT subject, meter, meter_version, pane, grp, events, invalid, total AS value, toUInt64(0) AS late
FROM pane_totals FINAL WHERE events > 0
SETTINGS optimize_move_to_prewhere_if_final = 1)
UNION ALL
SELECT m.subject, m.meter, m.meter_version, m.pane, m.grp, toUInt64(1), toUInt64(m.valid = 0), m.value,
  toUInt64(length(s.vector) > 0)
FROM (SELECT *, toStartOfInterval(ts, INTERVAL 5 MINUTE) AS pane FROM metered_events) AS m
LEFT JOIN (SELECT meter, meter_version, pane, vector FROM seals FINAL) AS s
  ON m.meter = s.meter AND m.meter_version = s.meter_version AND m.pane = s.pane
WHERE m.k_offset >= s.vector[m.k_partition + 1];

-- Panes tile the days of every zone, as offsets are whole quarters of an hour. Values are added in 76 digits: what does
-- not fit a column of a view is an error there and never a wrapped number.
CREATE OR REPLACE VIEW usage_by_pane AS
SELECT if(a.customer = '', u.subject, a.customer) AS customer, u.subject AS subject, u.meter AS meter,
  u.meter_version AS meter_version, u.pane AS pane, u.grp AS grp, u.events AS events, u.invalid AS invalid,
  toDecimal256(u.value, 12) AS value, u.late AS late
FROM subject_panes AS u
ASOF LEFT JOIN attributions_now AS a
  ON u.subject = a.subject AND toDateTime64(u.pane, 3, 'UTC') >= a.effective_from;

-- Whose each subject is from when until when; before its first attribution, and while it is nobody's, a customer's own.
CREATE VIEW owned_subjects AS
SELECT subject, if(customer = '', subject, customer) AS customer, effective_from AS owned_from,
  leadInFrame(effective_from, 1, toDateTime64('2299-12-31', 3, 'UTC')) OVER (
    PARTITION BY subject ORDER BY effective_from ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS owned_to
FROM attributions_now
UNION ALL
SELECT s.customer, s.customer, toDateTime64('1970-01-01', 3, 'UTC'),
  if(a.subject = '', toDateTime64('2299-12-31', 3, 'UTC'), a.first_from)
FROM (SELECT DISTINCT customer FROM subscriptions) AS s
LEFT JOIN (SELECT subject, min(effective_from) AS first_from FROM attributions_now GROUP BY subject) AS a
  ON s.customer = a.subject;

-- What counts for each running subscription: its subjects, from the first period that is not billed.
CREATE VIEW running_subjects AS
SELECT o.subject AS subject, s.customer AS customer, s.subscription AS subscription, s.plan AS plan,
  s.billed_through AS billed_through, greatest(o.owned_from, s.billed_through) AS counts_from,
  least(o.owned_to, ifNull(s.ends_at, toDateTime64('2299-12-31', 3, 'UTC'))) AS counts_to
FROM owned_subjects AS o
INNER JOIN (SELECT * FROM subscriptions FINAL WHERE status = 'active') AS s ON o.customer = s.customer;

CREATE OR REPLACE VIEW v_usage_current (
  customer String COMMENT 'who pays',
  subscription String COMMENT 'id of the subscription',
  plan String COMMENT 'name in the catalogue',
  meter String COMMENT 'name in the catalogue',
  meter_version String COMMENT 'hash of its definition; a running subscription keeps its version',
  grp String COMMENT 'group-by values as a JSON array in the meter''s order; null where absent',
  period_start DateTime64(3, 'UTC') COMMENT 'start of the first period that is not billed; whole panes from here on are counted',
  events UInt64 COMMENT 'events that count',
  invalid UInt64 COMMENT 'of them, events whose value the meter cannot use: left out of value',
  value Decimal(38, 12) COMMENT 'sum, or number for a count',
  late UInt64 COMMENT 'of them, events that came after their pane was sealed; counted from raw until it is sealed again',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'freshness: billing time, the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'freshness: broker time of the newest usage that is stored'
) AS
SELECT r.customer AS customer, r.subscription AS subscription, r.plan AS plan, u.meter AS meter,
  u.meter_version AS meter_version, u.grp AS grp, r.billed_through AS period_start, sum(u.events) AS events,
  sum(u.invalid) AS invalid, sum(toDecimal256(u.value, 12)) AS value, sum(u.late) AS late, any(f.tick) AS tick,
  any(f.as_of) AS as_of, any(f.stored_to) AS stored_to
FROM subject_panes AS u
INNER JOIN running_subjects AS r ON u.subject = r.subject
CROSS JOIN freshness AS f
WHERE u.pane >= r.counts_from AND u.pane < r.counts_to
GROUP BY r.customer, r.subscription, r.plan, u.meter, u.meter_version, u.grp, r.billed_through
COMMENT 'Usage of each running subscription that no invoice covers yet';
