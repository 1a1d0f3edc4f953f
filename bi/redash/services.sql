-- Active users by what they used on the day; the three add up to app_dau.
--
-- Visualisation: Chart, Bar, Stacking: Stack. X: event_date. Y: feed_only, both_services, messenger_only.
-- Missing days are rows of NULL: choose "Missing and NULL values: Do not display in chart", so that they are gaps.
-- Parameters: date_range (Date Range).
SELECT
    event_date,
    toNullable(feed_only) AS feed_only,
    toNullable(both_services) AS both_services,
    toNullable(messenger_only) AS messenger_only
FROM app_daily
WHERE event_date BETWEEN '{{ date_range.start }}' AND '{{ date_range.end }}'
ORDER BY event_date WITH FILL
