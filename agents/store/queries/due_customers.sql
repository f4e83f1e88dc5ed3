-- due_customers: who of a tick's runs is billed for a served span, or looks at it again; with a zone, only runs that
-- know it. Customers that are named are asked about whatever is due. A fragment.
if(empty({customers:Array(String)}),
  (SELECT groupUniqArray(customer) FROM (
    SELECT customer FROM billing_runs
    WHERE tick = {tick:UInt64} AND revision = {revision:UInt16}
      AND arrayExists(s -> s.2 = {span_starts:DateTime64(3, 'UTC')} AND s.3 = {ends:DateTime64(3, 'UTC')}, services)
      AND ({zone:String} = '' OR position(run, concat('"time_zone":"', {zone:String}, '"')) > 0)
    UNION ALL
    SELECT customer FROM late_periods
    WHERE tick = {tick:UInt64} AND revision = {revision:UInt16}
      AND arrayExists(s -> s.2 = {span_starts:DateTime64(3, 'UTC')} AND s.3 = {ends:DateTime64(3, 'UTC')}, services)
      AND ({zone:String} = '' OR has(zones, {zone:String})))),
  {customers:Array(String)})
