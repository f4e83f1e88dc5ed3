-- corrected_seals: sealed panes of a meter in a span that a correction touches, by the vector that they were sealed at.
SELECT vector, arraySort(groupArray(intDiv(toUnixTimestamp(pane), 300))) AS panes
FROM (
  SELECT pane, vector FROM seals FINAL
  WHERE meter = {meter:String} AND meter_version = {version:String}
    AND pane >= {starts:DateTime64(3, 'UTC')} AND pane < {ends:DateTime64(3, 'UTC')})
WHERE pane IN ($corrected_panes)
GROUP BY vector
