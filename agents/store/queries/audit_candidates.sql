-- audit_candidates: hashes of identities that events between two vectors have twice, or have and the index knows. Hashes
-- find candidates in little memory; a collision only brings a candidate too many. One of several shares of the hashes.
WITH fresh AS (
  SELECT bitAnd(cityHash64(source, id), 0xFFFFFFFFFFFF) AS identity FROM events
  WHERE $days AND bitNot(inv_offset) >= {from:Array(UInt64)}[k_partition + 1]
    AND bitNot(inv_offset) < {usage:Array(UInt64)}[k_partition + 1]
    AND identity % {shares:UInt16} = {share:UInt16})
SELECT identity FROM fresh GROUP BY identity HAVING count() > 1
UNION DISTINCT
SELECT i.identity FROM identities AS i INNER JOIN fresh AS f ON i.identity = f.identity
SETTINGS join_algorithm = 'full_sorting_merge'
