-- ledger_beyond: rows of a log's ledger that reach beyond a coverage, in order. $beyond names each partition's end, so that
-- the rows below are not read.
SELECT k_partition, first_offset, next_offset, panes
FROM ledger
WHERE topic = {topic:String} AND $beyond
ORDER BY k_partition, first_offset, next_offset
