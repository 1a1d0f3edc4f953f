-- The cohorts add up to the snapshot's users of the last year and to the active users of the extracts.
SELECT
    (known, users_sum)         AS `add_up_to_users: users`,
    (active_users, active_sum) AS `add_up_to_users: active users`,
    (new_users, new_users_sum) AS `add_up_to_users: new users`,
    (keys, rows)               AS `values_are_valid: rows, one per first day and source`,
    (0, impossible)            AS `values_are_valid: impossible rows`
FROM
    (SELECT count() AS known, countIf(last_active_day = {event_date:Date}) AS active_users,
            countIf(first_day = {event_date:Date}) AS new_users
     FROM users WHERE event_date = {event_date:Date} AND first_day > {event_date:Date} - 366) AS snapshot,
    (SELECT count() AS rows, uniqExact(first_day, source) AS keys, sum(users) AS users_sum, sum(active) AS active_sum,
            sumIf(users, days_since = 0) AS new_users_sum,
            countIf(active < 0 OR active > users OR source = '' OR days_since != event_date - first_day
                    OR event_date != {event_date:Date} OR days_since NOT BETWEEN 0 AND 365) AS impossible
     FROM {staging:Identifier}) AS staged
