-- Retention: of the users who were new a day or a week before, the share that is active on the day.
--
-- Visualisation: Chart, Line. X: event_date. Y: d1_percent, d7_percent.
-- Missing days are rows of NULL: choose "Missing and NULL values: Do not display in chart", so that they are gaps.
-- Parameters: date_range (Date Range).
SELECT
    event_date,
    round(100 * retention_d1, 2) AS d1_percent,
    round(100 * retention_d7, 2) AS d7_percent,
    toNullable(cohort_d1) AS cohort_d1,
    toNullable(cohort_d7) AS cohort_d7
FROM app_daily
WHERE event_date BETWEEN '{{ date_range.start }}' AND '{{ date_range.end }}'
ORDER BY event_date WITH FILL
