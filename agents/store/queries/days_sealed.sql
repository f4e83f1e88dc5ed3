-- days_sealed: the seals that know everything that is stored of their day, and subjects that changed hands within a day.
SELECT
  (SELECT groupArray((meter, meter_version, day, tick)) FROM sealed_days) AS days,
  (SELECT groupArray((subject, day)) FROM split_days) AS splits
