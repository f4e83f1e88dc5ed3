-- audit_gaps: ranges of a slice of which no table knows: neither an event that was read, a correction or a dead letter,
-- nor a copy or an empty position that was found before. Places count from the position before the slice, which is 0.
WITH {from:Array(UInt64)} AS starts, {usage:Array(UInt64)} AS ends
SELECT k_partition, starts[k_partition + 1] + gap.1 AS first_offset, starts[k_partition + 1] + gap.2 - 1 AS next_offset
FROM (
  SELECT k_partition, arraySort(bitmapToArray(groupBitmapState(place))) AS places -- a small bitmap has no order
  FROM (
    SELECT k_partition, toUInt32(k_offset + 1 - starts[k_partition + 1]) AS place
    FROM (
      SELECT k_partition, k_offset FROM audit_identities WHERE run = {run:UInt64}
      UNION ALL SELECT k_partition, k_offset FROM corrections
      UNION ALL SELECT k_partition, k_offset FROM dead_letters WHERE topic = 'usage.events'
      UNION ALL SELECT k_partition, k_offset FROM copies
      UNION ALL
      SELECT k_partition, arrayJoin(range(greatest(first_offset, starts[k_partition + 1]),
        least(next_offset, ends[k_partition + 1])))
      FROM empty_positions WHERE next_offset > starts[k_partition + 1] AND first_offset < ends[k_partition + 1])
    WHERE k_offset >= starts[k_partition + 1] AND k_offset < ends[k_partition + 1]
    UNION ALL -- the position before the slice, and the one behind it
    SELECT toUInt16(part - 1), toUInt32(arrayJoin([0, ends[part] - starts[part] + 1]))
    FROM (SELECT arrayJoin(arrayEnumerate(ends)) AS part))
  GROUP BY k_partition)
ARRAY JOIN arrayFilter(pair -> pair.2 - pair.1 > 1, arrayZip(arrayPopBack(places), arrayPopFront(places))) AS gap
ORDER BY k_partition, first_offset
