-- The names of the metrics, for the Query Based Dropdown List of the other queries.
--
-- Visualisation: Table, as it is. No dashboard needs it.
-- Parameters: none.
SELECT DISTINCT toString(metric) AS name, name AS value
FROM
(
    SELECT metric FROM metric_daily WHERE event_date > (SELECT max(event_date) FROM metric_daily) - 8
    UNION ALL
    SELECT metric FROM slot_metrics WHERE event_date = (SELECT max(event_date) FROM slot_metrics)
)
WHERE NOT endsWith(name, '.events')
ORDER BY name
