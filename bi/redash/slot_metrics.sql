-- One 15-minute metric with the expected value and its band.
--
-- Visualisation: Chart, Line. X: slot_time (Datetime). Y: value, expected, lower, upper, anomalous. In the tab Series
--   make anomalous a Scatter, in Colors make it red and lower and upper grey.
-- Parameters: date_range (Date Range); metric (Query Based Dropdown List: metrics.sql); dimension (Text: total, os, …);
--   dimension_value (Text: total, iOS, …).
--
-- slot_time is the local time in the product's zone: product_timezone is METRICS_TIMEZONE.
WITH 'UTC' AS product_timezone
SELECT
    toDateTime(toString(toTimeZone(slots.slot_start, product_timezone))) AS slot_time,
    slots.value AS value,
    bands.expected AS expected,
    bands.lower AS lower,
    bands.upper AS upper,
    if(bands.status = 'anomalous', slots.value, NULL) AS anomalous
FROM
(
    SELECT slot_start, value
    FROM slot_metrics FINAL
    WHERE metric = '{{ metric }}' AND dimension = '{{ dimension }}' AND dimension_value = '{{ dimension_value }}'
      AND event_date BETWEEN '{{ date_range.start }}' AND '{{ date_range.end }}'
) AS slots
LEFT JOIN
(
    SELECT slot_start, expected, lower, upper, status
    FROM verdicts FINAL
    WHERE metric = '{{ metric }}' AND dimension = '{{ dimension }}' AND dimension_value = '{{ dimension_value }}'
      AND event_date BETWEEN '{{ date_range.start }}' AND '{{ date_range.end }}'
) AS bands ON bands.slot_start = slots.slot_start
ORDER BY slots.slot_start
