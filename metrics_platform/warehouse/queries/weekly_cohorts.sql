-- Of the users who began in each of the last weeks, the share that was active 7, 14, … days after their first day.
-- Only for cohorts all of whose days are old enough, and only of days that were computed: users who began before the
-- first computed day have no row of that day, so they would be in the shares but not in the size.
SELECT
    toMonday(first_day)                                      AS first_week,
    intDiv(days_since, 7)                                    AS weeks_since,
    toInt64(sum(users))                                      AS cohort_users,
    if(cohort_users = 0, NULL, sum(active) / cohort_users)   AS retention
FROM user_cohorts
WHERE event_date > {last:Date} - 63 AND event_date <= {last:Date}
  AND days_since IN (0, 7, 14, 21, 28, 35, 42, 49)
  AND first_week > {last:Date} - 63 AND first_week + 6 + days_since <= {last:Date}
  AND first_day IN (SELECT first_day FROM user_cohorts WHERE days_since = 0)
GROUP BY first_week, weeks_since
ORDER BY first_week, weeks_since
