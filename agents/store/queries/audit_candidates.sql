-- audit_candidates: identities that a slice has in several rows, or has and the index knows. Hashes find them in little
-- memory; a collision only brings one too many. A range of the hashes: the slice and the index are both sorted by them.
INSERT INTO audit_candidates (run, identity)
SELECT {run:UInt64}, identity FROM (
  SELECT identity FROM audit_identities
  WHERE run = {run:UInt64} AND identity >= {low:UInt64} AND identity < {high:UInt64}
  GROUP BY identity HAVING count() > 1
  SETTINGS optimize_aggregation_in_order = 1
  UNION ALL
  SELECT identity FROM identities
  WHERE identity >= {low:UInt64} AND identity < {high:UInt64} AND identity IN (
    SELECT identity FROM audit_identities
    WHERE run = {run:UInt64} AND identity >= {low:UInt64} AND identity < {high:UInt64}))
