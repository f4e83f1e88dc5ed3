-- split_days: subjects and sealed days within which another customer became their owner, after the first event.
SELECT DISTINCT d.subject, toString(toDate(d.ends) - 1)
FROM ($day_rows) AS d
ASOF INNER JOIN ($attributions_as_of) AS a ON d.subject = a.subject AND d.ends > a.effective_from
WHERE toUnixTimestamp64Milli(a.effective_from) > d.first_use.1
