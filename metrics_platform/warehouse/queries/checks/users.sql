-- The snapshot continues the one of the day before: no user is lost, and every new user has a first event today.
SELECT
    (known + new_users, rows)   AS `continues_previous_day: users = users of the day before + new users`,
    (active_users, active)      AS `continues_previous_day: users active today`,
    (0, impossible)             AS `continues_previous_day: users with a first or last day out of order`,
    (distinct_users, rows)      AS `one_row_per_user: rows`
FROM
    (SELECT count() AS known FROM users WHERE event_date = {previous_date:Date}) AS previous,
    (SELECT uniqExact(user_id) AS active_users
     FROM (SELECT user_id FROM feed_user_daily WHERE event_date = {event_date:Date}
           UNION ALL SELECT user_id FROM message_user_daily WHERE event_date = {event_date:Date} AND messages_sent > 0)) AS extracts,
    (SELECT count() AS rows, uniqExact(user_id) AS distinct_users,
            countIf(first_day = {event_date:Date}) AS new_users, countIf(last_active_day = {event_date:Date}) AS active,
            countIf(first_day > last_active_day OR last_active_day > {event_date:Date}) AS impossible
     FROM {staging:Identifier}) AS staged
