-- demo_ledger: what the ledger says of a log as far as it is stored: accepted events, corrections, dead letters, controls.
SELECT sum(events), sum(corrections), sum(dead_letters), sum(controls)
FROM (
  SELECT k_partition, argMax(events, next_offset) AS events, argMax(corrections, next_offset) AS corrections,
    argMax(dead_letters, next_offset) AS dead_letters, argMax(controls, next_offset) AS controls
  FROM ledger FINAL
  WHERE topic = {topic:String}
  GROUP BY k_partition)
