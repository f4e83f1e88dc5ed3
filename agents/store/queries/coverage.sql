-- coverage: how far each partition of a log is stored without a gap: the end of the first unbroken run of ledger rows.
SELECT k_partition, if(countIf(gap) = 0, max(next_offset), minIf(reached, gap)) AS covered
FROM (
  SELECT k_partition, first_offset, next_offset,
    max(next_offset) OVER (PARTITION BY k_partition ORDER BY first_offset, next_offset
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached,
    row_number() OVER (PARTITION BY k_partition ORDER BY first_offset, next_offset) > 1 AND first_offset > reached AS gap
  FROM ledger FINAL
  WHERE topic = {topic:String})
GROUP BY k_partition
ORDER BY k_partition
