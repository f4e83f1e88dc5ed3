-- attributions_as_of: subject -> customer from a time on, as of a position of billing.attributions. A fragment.
SELECT subject, effective_from, argMax(customer, k_offset) AS customer
FROM attributions
WHERE k_offset < {attributions:UInt64}
GROUP BY subject, effective_from
