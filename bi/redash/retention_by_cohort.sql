-- Retention by weekly cohort: of the users who began in a week, how many were active 7, 14, … days after their first.
--
-- Visualisation: Cohort. Date: cohort_week. Stage: weeks_since. Bucket population size: cohort_users. Stage value:
-- active_users. Time interval: weekly. Mode: fill gaps with zeros.
-- Parameters: date_range (Date Range), of the first days of the weeks in which users began; at least the last 90 days.
--
-- Redash divides by the size of the first stage. So a stage is shown once all days of its week are old enough, and users
-- who began before the first computed day are left out.
SELECT
    toMonday(first_day) AS cohort_week,
    toInt64(intDiv(days_since, 7)) AS weeks_since,
    sum(users) AS cohort_users,
    sum(active) AS active_users,
    round(100 * sum(active) / sum(users), 1) AS retention_percent
FROM user_cohorts
WHERE cohort_week BETWEEN '{{ date_range.start }}' AND '{{ date_range.end }}'
  AND cohort_week + 6 + days_since <= (SELECT max(event_date) FROM user_cohorts)
  AND first_day IN (SELECT first_day FROM user_cohorts WHERE days_since = 0)
  AND days_since % 7 = 0 AND days_since BETWEEN 7 AND 84
GROUP BY cohort_week, weeks_since
ORDER BY cohort_week, weeks_since
