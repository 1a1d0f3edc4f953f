-- What the report shows: the facts of some days, a row each; a day that was never computed has none.
SELECT *
FROM app_daily
WHERE event_date BETWEEN {first:Date} AND {last:Date}
ORDER BY event_date
