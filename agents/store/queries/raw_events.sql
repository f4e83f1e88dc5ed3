-- raw_events: the counted events of one customer as of a vector, of some types, in order of position.
SELECT e.type, e.subject, toUnixTimestamp64Milli(e.ts), e.source, e.id, e.k_partition, e.k_offset, e.data
FROM ($counted_events) AS e
ASOF LEFT JOIN ($attributions_as_of) AS a ON e.subject = a.subject AND e.ts >= a.effective_from
WHERE if(a.customer = '', e.subject, a.customer) = {customer:String}
ORDER BY e.k_partition, e.k_offset
