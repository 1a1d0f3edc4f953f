-- The 15-minute slots in which a metric was outside its band, latest first.
--
-- Visualisation: Table, as it is. change_percent compares the value with the expected one.
-- Parameters: date_range (Date Range).
--
-- slot_time is the local time in the product's zone: product_timezone is METRICS_TIMEZONE.
WITH 'UTC' AS product_timezone
SELECT
    toDateTime(toString(toTimeZone(slot_start, product_timezone))) AS slot_time,
    metric,
    if(dimension = 'total', 'whole product', concat(dimension, ': ', dimension_value)) AS series,
    severity,
    round(verdicts.value, 3) AS value,
    round(verdicts.expected, 3) AS expected,
    round(lower, 3) AS lower,
    round(upper, 3) AS upper,
    round(100 * (verdicts.value - verdicts.expected) / nullIf(abs(verdicts.expected), 0), 1) AS change_percent,
    reason
FROM verdicts FINAL
WHERE status = 'anomalous' AND event_date BETWEEN '{{ date_range.start }}' AND '{{ date_range.end }}'
ORDER BY slot_start DESC, metric, series
LIMIT 1000
