-- Every metric of the catalogue on the latest day, against the day before and the same weekday a week before.
--
-- Visualisation: Table, as it is. change_1d and change_7d are per cent, empty where the base is missing or 0. Colour them:
--   Edit Visualization, Columns, Number format +0.0.
-- Parameters: none.
WITH (SELECT max(event_date) FROM metric_daily) AS latest
SELECT
    latest AS event_date,
    metric,
    anyIf(value, metric_daily.event_date = latest) AS value_of_day,
    anyIf(value, metric_daily.event_date = latest - 1) AS day_before,
    round(100 * (value_of_day - day_before) / nullIf(abs(day_before), 0), 1) AS change_1d,
    anyIf(value, metric_daily.event_date = latest - 7) AS week_before,
    round(100 * (value_of_day - week_before) / nullIf(abs(week_before), 0), 1) AS change_7d
FROM metric_daily FINAL
WHERE metric_daily.event_date >= latest - 7 AND dimension = 'total' AND NOT endsWith(toString(metric), '.events')
GROUP BY metric
HAVING countIf(metric_daily.event_date = latest) > 0
ORDER BY metric
