-- unattributed: usage in a span of subjects that belong to no customer and are not customers themselves.
SELECT count(), uniqExact(subject) FROM events FINAL
WHERE ts >= {starts:DateTime64(3, 'UTC')} AND ts < {ends:DateTime64(3, 'UTC')}
  AND subject NOT IN (SELECT subject FROM attributions) AND subject NOT IN (SELECT customer FROM customers)
