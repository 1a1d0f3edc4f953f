-- One 15-minute metric with what was expected and the band it should have been in.
--
-- Visualisation: Chart, Line. X: slot_time (Datetime). Y: value, expected, lower, upper, anomalous. In the tab Series
--   make anomalous a Scatter, in Colors make it red and lower and upper grey.
-- Parameters: date_range (Date Range); metric (Dropdown List: feed_users, views, likes, ctr, messages, senders);
--   dimension (Dropdown List: total, os, source, country); dimension_value (Text: total, iOS, ads, …).
--
-- slot_time is what the product's clocks showed: product_timezone is METRICS_TIMEZONE.
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
    SELECT
        slot_start,
        multiIf(
            '{{ metric }}' = 'feed_users', toNullable(toFloat64(feed_users)),
            '{{ metric }}' = 'views', toNullable(toFloat64(views)),
            '{{ metric }}' = 'likes', toNullable(toFloat64(likes)),
            '{{ metric }}' = 'ctr', ctr,
            '{{ metric }}' = 'messages', toNullable(toFloat64(messages)),
            '{{ metric }}' = 'senders', toNullable(toFloat64(senders)),
            NULL
        ) AS value
    FROM slot_metrics
    WHERE dimension = '{{ dimension }}' AND dimension_value = '{{ dimension_value }}'
      AND slot_start >= toDateTime('{{ date_range.start }} 00:00:00', product_timezone)
      AND slot_start < toDateTime('{{ date_range.end }} 00:00:00', product_timezone) + INTERVAL 1 DAY
) AS slots
LEFT JOIN
(
    SELECT slot_start, expected, lower, upper, status
    FROM verdicts
    WHERE metric = '{{ metric }}' AND dimension = '{{ dimension }}' AND dimension_value = '{{ dimension_value }}'
      AND slot_start >= toDateTime('{{ date_range.start }} 00:00:00', product_timezone)
      AND slot_start < toDateTime('{{ date_range.end }} 00:00:00', product_timezone) + INTERVAL 1 DAY
) AS bands ON bands.slot_start = slots.slot_start
ORDER BY slots.slot_start
