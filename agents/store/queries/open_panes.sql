-- open_panes: panes that may not hold all that is stored of them, as of what the sealer noted last for this catalogue: those
-- it listed, those that the ledger has named since, and those that were sealed by one who knew of a later audit. $beyond
-- names each partition, so that rows below the sealer's vector are not read.
CREATE OR REPLACE VIEW open_panes AS
WITH (SELECT argMax(tuple(vector, panes, audited), ver) FROM open_tails WHERE catalogue = $catalogue) AS tail
SELECT DISTINCT toDateTime(number * 300, 'UTC') AS pane
FROM (
  SELECT arrayJoin(tail.2) AS number
  UNION ALL
  SELECT arrayJoin(panes) FROM ledger
  WHERE topic = 'usage.events' AND $beyond AND next_offset > tail.1[k_partition + 1]
  UNION ALL
  SELECT intDiv(toUnixTimestamp(pane), 300) FROM seals WHERE ver >= (tail.3 + 1) * 1099511627776)
