-- index_identities: what the next slices look identities up in: those of this one.
INSERT INTO identities (identity, day) SELECT identity, day FROM audit_identities WHERE run = {run:UInt64}
