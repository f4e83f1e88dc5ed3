-- usage_rows: the counted events of a meter with customer, group and value, each in its span. A fragment.
-- The fingerprint is the wrapping sum of a 128-bit hash over position and full content of the events counted.
SELECT if(a.customer = '', e.subject, a.customer) AS customer, e.d AS d, e.k_offset AS k_offset,
  e.k_partition AS k_partition, toUnixTimestamp64Milli(e.ts) AS at, $spans, at >= from_ms AS inside,
  $group AS grp, $valid AS valid, $value_of_event AS value, $member_of_event AS member, $adds AS adds,
  reinterpretAsUInt128(sipHash128(e.type, e.subject, e.ts, e.source, e.id, e.k_partition, e.k_offset, e.data)) AS content
FROM ($counted_events) AS e
ASOF LEFT JOIN ($attributions_as_of) AS a ON e.subject = a.subject AND e.ts >= a.effective_from
WHERE $where
