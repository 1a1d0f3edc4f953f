-- Users by age group over the chosen days: what they viewed, liked, sent and received.
--
-- Visualisation: Chart, Bar. X: age_group (Category, not sorted again). Y: views. A second one: Y: messages_sent,
--   messages_received.
-- Parameters: date_range (Date Range).
SELECT
    multiIf(
        age IS NULL, 'unknown', age < 18, '<18', age < 25, '18-24', age < 35, '25-34', age < 45, '35-44', age < 55,
        '45-54', '55+'
    ) AS age_group,
    sum(slices.views) AS views,
    sum(slices.likes) AS likes,
    round(100 * sum(slices.likes) / nullIf(sum(slices.views), 0), 2) AS ctr_percent,
    sum(slices.messages_received) AS messages_received,
    sum(slices.messages_sent) AS messages_sent
FROM
(
    SELECT *, toInt32OrNull(dimension_value) AS age
    FROM dimension_metrics
    WHERE dimension = 'age' AND event_date BETWEEN '{{ date_range.start }}' AND '{{ date_range.end }}'
) AS slices
GROUP BY age_group
ORDER BY min(slices.age) NULLS LAST
