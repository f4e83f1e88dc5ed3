-- account_retired: the positions of events that go, as ranges that are no longer kept, so that what was produced stays
-- the sum of what is accounted for.
INSERT INTO empty_positions (k_epoch, k_partition, first_offset, next_offset, why)
SELECT k_epoch, k_partition, min(k_offset), max(k_offset) + 1, 'expired'
FROM (
  SELECT k_epoch, k_partition, k_offset,
    k_offset - row_number() OVER (PARTITION BY k_epoch, k_partition ORDER BY k_offset) AS island
  FROM (SELECT k_epoch, k_partition, bitNot(inv_offset) AS k_offset FROM events FINAL WHERE $chosen))
GROUP BY k_epoch, k_partition, island
