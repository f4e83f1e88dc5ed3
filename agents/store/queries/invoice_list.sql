-- invoice_list: invoices in order of number, drafts last; of one customer, of one status.
SELECT * FROM v_invoices
WHERE ({customer:String} = '' OR customer = {customer:String}) AND ({status:String} = '' OR status = {status:String})
ORDER BY number = '', number, issued_at, customer
