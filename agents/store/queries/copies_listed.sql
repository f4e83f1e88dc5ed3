-- copies_listed: records that were sent again, with their positions and that of the record that counts. Newest last.
SELECT source, id, kind, place, k_partition, k_offset, first_partition, first_offset, type, subject, ts
FROM (
  SELECT toString(source) AS source, id, toString(kind) AS kind, 'same partition' AS place, k_partition, k_offset,
    k_partition AS first_partition, first_offset, toString(type) AS type, subject, ts
  FROM copies FINAL
  UNION ALL
  SELECT toString(source), id, toString(kind), if(restamped, 're-stamped', 'other partition'), k_partition, k_offset,
    first_partition, first_offset, toString(type), subject, ts
  FROM retractions FINAL)
WHERE ({source:String} = '' OR source = {source:String}) AND ({kind:String} = '' OR kind = {kind:String})
ORDER BY source, id, k_partition, k_offset
LIMIT {at_most:UInt64}
