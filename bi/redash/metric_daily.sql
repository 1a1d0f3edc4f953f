-- The value of the day of one metric, for the whole product or by the slices of a dimension.
--
-- Visualisation: Chart, Line. X: event_date. Y: value. Group by: dimension_value.
-- Parameters: date_range (Date Range); metric (Query Based Dropdown List: metrics.sql); dimension (Text: total, os, …).
SELECT
    event_date,
    dimension_value,
    value,
    numerator,
    denominator
FROM metric_daily FINAL
WHERE metric = '{{ metric }}' AND dimension = '{{ dimension }}'
  AND event_date BETWEEN '{{ date_range.start }}' AND '{{ date_range.end }}'
ORDER BY event_date, dimension_value
