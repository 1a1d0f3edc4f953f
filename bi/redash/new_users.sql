-- New users by the source of their first event.
--
-- Visualisation: Chart, Bar, Stacking: Stack. X: event_date. Y: ads, organic, other.
-- Missing days are rows of NULL: choose "Missing and NULL values: Do not display in chart", so that they are gaps.
-- Parameters: date_range (Date Range).
SELECT
    event_date,
    toNullable(new_users_ads) AS ads,
    toNullable(new_users_organic) AS organic,
    toNullable(new_users_other) AS other,
    toNullable(new_users) AS new_users
FROM app_daily
WHERE event_date BETWEEN '{{ date_range.start }}' AND '{{ date_range.end }}'
ORDER BY event_date WITH FILL
