-- days_known: what a look at sealed days takes into account beside the ledger; asked before it.
SELECT
  (SELECT argMax(usage, tick) FROM audits) AS audited,
  (SELECT groupArray((day, toUInt8(because), known)) FROM opened_days FINAL) AS opened,
  (SELECT if(count() = 0, 0, max(k_offset) + 1) FROM attributions) AS attributed_to
