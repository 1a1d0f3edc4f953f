-- The feed: views, likes, CTR, and both per user.
--
-- Visualisation: Chart, Line. X: event_date. Y: views, and likes on the right axis.
--   A second chart: Y: ctr_percent. A third: Y: views_per_user, likes_per_user.
-- Missing days are rows of NULL: choose "Missing and NULL values: Do not display in chart", so that they are gaps.
-- Parameters: date_range (Date Range).
SELECT
    event_date,
    toNullable(views) AS views,
    toNullable(likes) AS likes,
    round(100 * ctr, 2) AS ctr_percent,
    round(views_per_user, 2) AS views_per_user,
    round(likes_per_user, 2) AS likes_per_user
FROM app_daily
WHERE event_date BETWEEN '{{ date_range.start }}' AND '{{ date_range.end }}'
ORDER BY event_date WITH FILL
