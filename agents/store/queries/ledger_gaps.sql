-- ledger_gaps: ranges of a log that no ledger row covers, though a later one does.
SELECT topic, k_partition, gaps FROM v_ingest_coverage WHERE gaps > 0 ORDER BY topic, k_partition
