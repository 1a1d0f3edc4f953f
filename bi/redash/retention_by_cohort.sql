-- Retention by weekly cohort: of the users who began in a week, how many were active 7, 14, … days after their first.
--
-- Visualisation: Cohort. Date: cohort_week. Stage: weeks_since. Bucket population size: cohort_users. Stage value:
-- active_users. Time interval: weekly. Mode: fill gaps with zeros.
-- Parameters: date_range (Date Range), of the days on which users came back.
SELECT
    toMonday(first_day) AS cohort_week,
    toInt64(intDiv(days_since, 7)) AS weeks_since,
    sum(users) AS cohort_users,
    sum(active) AS active_users,
    round(100 * sum(active) / sum(users), 1) AS retention_percent
FROM user_cohorts
WHERE event_date BETWEEN '{{ date_range.start }}' AND '{{ date_range.end }}'
  AND days_since % 7 = 0 AND days_since BETWEEN 7 AND 84
GROUP BY cohort_week, weeks_since
ORDER BY cohort_week, weeks_since
