-- index_identities: what the next audits look identities up in: those of the events between two vectors. $days narrows to
-- days that the ledger names.
INSERT INTO identities (identity, day)
SELECT bitAnd(cityHash64(source, id), 0xFFFFFFFFFFFF), toDate(ts)
FROM events
WHERE $days AND bitNot(inv_offset) >= {from:Array(UInt64)}[k_partition + 1]
  AND bitNot(inv_offset) < {usage:Array(UInt64)}[k_partition + 1]
