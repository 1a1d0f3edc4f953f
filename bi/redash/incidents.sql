-- Every incident that opened in the chosen days, in its current state, latest first.
--
-- Visualisation: Table, as it is. Or Chart, Bar, Stacking: Stack. X: opened_on. Y: incidents. Group by: severity.
-- Parameters: date_range (Date Range).
--
-- Times are local times in the product's zone: product_timezone is METRICS_TIMEZONE.
WITH 'UTC' AS product_timezone
SELECT
    toDate(toTimeZone(opened_at, product_timezone)) AS opened_on,
    toDateTime(toString(toTimeZone(opened_at, product_timezone))) AS opened,
    toDateTime(toString(toTimeZone(closed_at, product_timezone))) AS closed,
    round(dateDiff('minute', opened_at, coalesce(closed_at, slot_start + INTERVAL 15 MINUTE)) / 60, 2) AS hours,
    metric,
    if(dimension = 'total', 'whole product', concat(dimension, ': ', dimension_value)) AS series,
    severity,
    state,
    round(100 * worst_change, 1) AS worst_change_percent,
    toDateTime(toString(toTimeZone(worst_at, product_timezone))) AS worst,
    folded_into AS part_of,
    incident,
    1 AS incidents
FROM
(
    SELECT *
    FROM incidents FINAL
    ORDER BY slot_start DESC
    LIMIT 1 BY incident
)
WHERE opened_at >= toDateTime('{{ date_range.start }} 00:00:00', product_timezone)
  AND opened_at < toDateTime('{{ date_range.end }} 00:00:00', product_timezone) + INTERVAL 1 DAY
ORDER BY opened_at DESC, incident
