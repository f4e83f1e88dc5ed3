-- known_customers: the states of customers, or of one, with how many subjects were attributed to each.
SELECT c.state, s.subjects
FROM (SELECT customer, state FROM customers FINAL WHERE {customer:String} = '' OR customer = {customer:String}) AS c
LEFT JOIN (SELECT customer, uniqExact(subject) AS subjects FROM attributions_now GROUP BY customer) AS s
  ON c.customer = s.customer
ORDER BY c.customer
