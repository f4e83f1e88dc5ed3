-- audit_identities: the identities of the events of a slice, with their positions, sorted: what one try works on. $days
-- are those that the ledger names for the slice.
INSERT INTO audit_identities (run, identity, day, k_partition, k_offset)
SELECT {run:UInt64}, bitAnd(cityHash64(source, id), 0xFFFFFFFFFFFF), toDate(ts), k_partition, bitNot(inv_offset)
FROM events
WHERE $days AND bitNot(inv_offset) >= {from:Array(UInt64)}[k_partition + 1]
  AND bitNot(inv_offset) < {usage:Array(UInt64)}[k_partition + 1]
