-- crowded_customers: whether some customer of a tick's runs has more groups than a limit.
WITH $due AS due
SELECT customer, uniqExact(grp) AS groups FROM $usage_rows WHERE has(due, customer)
GROUP BY customer HAVING groups > $limit LIMIT 1
