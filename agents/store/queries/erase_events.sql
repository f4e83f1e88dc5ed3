-- erase_events: the events of a subject below a vector again, under a pseudonym, with the fields that meters read and
-- nothing else, at their positions. Identity stays, or copies and corrections of it would be counted anew.
INSERT INTO events (type, subject, ts, source, id, k_epoch, k_partition, inv_offset, data, exact, flags, sequence, appended_at)
SELECT type, {pseudonym:String}, ts, source, id, k_epoch, k_partition, inv_offset, $kept AS data, '', flags, '', appended_at
FROM (SELECT *, if(exact = '', data, exact) AS d FROM events FINAL WHERE $chosen)
SETTINGS max_partitions_per_insert_block = 0
