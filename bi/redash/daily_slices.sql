-- The daily slices of one dimension, all measures. Each dimension adds up to the whole product.
--
-- Visualisation: Chart, Bar, Stacking: Stack. X: event_date. Y: views (or another measure). Group by: dimension_value.
--   For age a second one: Chart, Bar, Horizontal. X: dimension_value. Y: views.
-- Parameters: date_range (Date Range); dimension (Dropdown List: os, gender, age, and those in METRICS_EXTRA_DIMENSIONS).
SELECT
    event_date,
    dimension_value,
    views,
    likes,
    round(100 * likes / nullIf(views, 0), 2) AS ctr_percent,
    messages_received,
    messages_sent,
    users_received,
    users_sent
FROM dimension_metrics
WHERE dimension = '{{ dimension }}'
  AND event_date BETWEEN '{{ date_range.start }}' AND '{{ date_range.end }}'
ORDER BY event_date, dimension_value
