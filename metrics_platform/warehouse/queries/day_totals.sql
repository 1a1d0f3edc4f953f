-- The totals of a day on which nothing happened. `staging` holds those of the sources that have events.
SELECT
    {event_date:Date}             AS event_date,
    empty_metric.2                AS metric,
    'total'                       AS dimension,
    'total'                       AS dimension_value,
    empty_metric.3                AS value,
    value AS numerator, NULL AS denominator, empty_metric.4 AS definition, {version:UInt64} AS version, 0 AS is_deleted
FROM system.one
-- (the count of the source's events, metric, value without events, definition)
ARRAY JOIN $empty_metrics AS empty_metric
WHERE empty_metric.2 NOT IN (SELECT toString(metric) FROM {staging:Identifier})
