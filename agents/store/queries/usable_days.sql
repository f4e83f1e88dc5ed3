-- usable_days: per meter version and day the newest seal at or before a tick, with its vector, where nothing that is
-- stored of the day lies beyond it; corrections are looked at apart.
SELECT s.meter, s.meter_version, s.day, max(s.tick) AS sealed, argMax(s.vector, s.tick) AS sealed_to
FROM day_seals AS s
LEFT JOIN (SELECT day, groupArray((k_partition, next_offset)) AS ends FROM day_touches GROUP BY day) AS t ON s.day = t.day
LEFT JOIN (SELECT day, max(erased_to) AS erased_to FROM opened_days GROUP BY day) AS o ON s.day = o.day
LEFT JOIN (
  SELECT toDate(ts) AS day, groupArray((k_partition, k_offset)) AS places FROM retractions FINAL GROUP BY day) AS r
  ON s.day = r.day
WHERE s.tick <= {tick:UInt64} AND arrayAll((x, place) -> x <= {usage:Array(UInt64)}[place], s.vector, arrayEnumerate(s.vector))
  AND arrayAll(x -> x.2 <= s.vector[x.1 + 1], t.ends) AND s.erased_to >= o.erased_to
  AND arrayCount(x -> x.2 < s.vector[x.1 + 1], r.places) = s.retracted
GROUP BY s.meter, s.meter_version, s.day
