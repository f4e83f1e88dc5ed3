-- 0007_leaks: usage that would be free unseen.

-- Replaced by the sealer with the types that some meter counts; empty until a catalogue was applied.
CREATE VIEW metered_types AS SELECT '' AS type WHERE 0;

CREATE VIEW v_leaks (
  leak String COMMENT 'unmetered type, invalid measure, subject without customer, or no subscription then',
  what String COMMENT 'the type, the meter, the subject, or the customer',
  source String COMMENT 'the producer',
  events UInt64,
  first_seen DateTime64(3, 'UTC') COMMENT 'event time',
  last_seen DateTime64(3, 'UTC') COMMENT 'event time',
  tick UInt64 COMMENT 'the last tick',
  as_of DateTime64(3, 'UTC') COMMENT 'billing time: the time of the last tick',
  stored_to DateTime64(3, 'UTC') COMMENT 'broker time of the newest usage that is stored'
) AS
WITH
  subscribed AS (SELECT customer, starts_at, ifNull(ends_at, toDateTime64('2299-12-31', 3, 'UTC')) AS ends FROM subscriptions FINAL),
  used AS (
    SELECT if(a.customer = '', u.subject, a.customer) AS customer, u.subject AS subject, a.customer != '' AS attributed,
      u.source AS source, u.pane AS pane, u.events AS events, u.first_seen AS first_seen, u.last_seen AS last_seen
    FROM (
      SELECT subject, source, toDateTime64(toStartOfFiveMinutes(ts), 3, 'UTC') AS pane, count() AS events,
        min(ts) AS first_seen, max(ts) AS last_seen
      FROM counted_events_now WHERE type IN (SELECT type FROM metered_types)
      GROUP BY subject, source, pane) AS u
    ASOF LEFT JOIN attributions_now AS a ON u.subject = a.subject AND u.pane >= a.effective_from)
SELECT l.leak, l.what, l.source, l.events, l.first_seen, l.last_seen, f.tick, f.as_of, f.stored_to
FROM (
  SELECT 'unmetered type' AS leak, type AS what, source, count() AS events, min(ts) AS first_seen, max(ts) AS last_seen
  FROM counted_events_now WHERE type NOT IN (SELECT type FROM metered_types)
  GROUP BY type, source
  UNION ALL
  SELECT 'invalid measure', meter, source, count(), min(ts), max(ts)
  FROM metered_events WHERE valid = 0
  GROUP BY meter, source
  UNION ALL
  SELECT 'subject without customer', subject, source, sum(used.events), min(used.first_seen), max(used.last_seen)
  FROM used WHERE NOT attributed AND customer NOT IN (SELECT customer FROM subscribed)
  GROUP BY subject, source
  UNION ALL
  SELECT 'no subscription then', customer, source, sum(used.events), min(used.first_seen), max(used.last_seen)
  FROM used
  WHERE (attributed OR customer IN (SELECT customer FROM subscribed))
    AND (customer, source, pane) NOT IN (
      SELECT u.customer, u.source, u.pane FROM used AS u INNER JOIN subscribed AS s ON u.customer = s.customer
      WHERE u.pane >= s.starts_at AND u.pane < s.ends)
  GROUP BY customer, source) AS l
CROSS JOIN freshness AS f;
