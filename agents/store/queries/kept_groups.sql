-- kept_groups: usage rows of which the groups beyond a limit have become one, named by $overflow: the first groups of
-- each customer in order of first usage keep their names. A fragment; it reads the events twice.
(SELECT * REPLACE (if((customer, grp) IN (
    SELECT customer, grp FROM $usage_rows WHERE has(due, customer)
    GROUP BY customer, grp ORDER BY customer, min((at, k_offset, k_partition)), grp LIMIT $limit BY customer),
  grp, $overflow) AS grp)
 FROM $usage_rows)
