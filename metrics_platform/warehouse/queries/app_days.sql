-- The facts of some days for the report, one row each. A day that was never computed has no row.
SELECT *
FROM app_daily
WHERE event_date BETWEEN {first:Date} AND {last:Date}
ORDER BY event_date
