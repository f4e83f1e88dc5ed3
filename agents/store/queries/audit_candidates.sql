-- audit_candidates: identities that a slice has in several rows, or has and the index knows, with the days of the rows.
-- Hashes find them in little memory; a collision only brings one too many. A range of the hashes: the slice and the index
-- are both sorted by them.
INSERT INTO audit_candidates (run, identity, day)
SELECT {run:UInt64}, identity, arrayJoin(days) FROM (
  SELECT identity, groupUniqArray(day) AS days FROM audit_identities
  WHERE run = {run:UInt64} AND identity >= {low:UInt64} AND identity < {high:UInt64} AND identity IN (
    SELECT identity FROM audit_identities
    WHERE run = {run:UInt64} AND identity >= {low:UInt64} AND identity < {high:UInt64}
    GROUP BY identity HAVING count() > 1)
  GROUP BY identity
  UNION ALL
  SELECT i.identity, [i.day, f.day] FROM identities AS i INNER JOIN (
    SELECT identity, day FROM audit_identities
    WHERE run = {run:UInt64} AND identity >= {low:UInt64} AND identity < {high:UInt64}) AS f ON i.identity = f.identity
  WHERE i.identity >= {low:UInt64} AND i.identity < {high:UInt64}
  SETTINGS join_algorithm = 'full_sorting_merge')
