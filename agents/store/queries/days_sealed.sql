-- days_sealed: the seals that know everything that is stored of their day, and subjects that changed hands within a day, after
-- their first event.
SELECT
  (SELECT groupArray((meter, meter_version, day, tick)) FROM sealed_days) AS days,
  (SELECT groupUniqArray((d.subject, d.day))
   FROM (SELECT subject, day, first_use.1 AS first_at FROM day_totals) AS d
   INNER JOIN (SELECT subject, effective_from, toDate(effective_from) AS day FROM attributions_now) AS a
     ON d.subject = a.subject AND d.day = a.day
   WHERE toUnixTimestamp64Milli(a.effective_from) > d.first_at) AS splits
