-- The audience: users of the app, the feed and the messenger on the day, and in 7 and 28 days.
--
-- Visualisation: Chart, Line. X: event_date (Datetime). Y: app_dau, feed_dau, messenger_dau.
--   A second chart of the same query: Y: app_dau, wau, mau. A third: Y: stickiness_percent.
-- Missing days are rows of NULL: choose "Missing and NULL values: Do not display in chart", so that they are gaps.
-- Parameters: date_range (Date Range).
SELECT
    event_date,
    toNullable(app_dau) AS app_dau,
    toNullable(feed_dau) AS feed_dau,
    toNullable(messenger_dau) AS messenger_dau,
    wau,
    mau,
    round(100 * stickiness, 2) AS stickiness_percent
FROM app_daily
WHERE event_date BETWEEN '{{ date_range.start }}' AND '{{ date_range.end }}'
ORDER BY event_date WITH FILL
