-- The feed's extract against a count taken straight from the source. `staging` holds the day before it is swapped in;
-- `without_user` is how many rows of the source belong to no user, and are left out. A column of a check is named after
-- it and the quantity, and holds the expected number, the actual one and, where it is known, how many events came in late.
SELECT
    (views_in_source, views_sum) AS `reconciles_with_source: views`,
    (likes_in_source, likes_sum) AS `reconciles_with_source: likes`,
    (users_in_source, users)     AS `reconciles_with_source: users`,
    (users, rows)                AS `one_row_per_user: rows`,
    without_user
FROM
    (SELECT countIf(action = 'view') AS views_in_source, countIf(action = 'like') AS likes_in_source,
            uniqExact(user) AS users_in_source
     FROM $feed_actions WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}) AS source,
    (SELECT count() AS without_user
     FROM $feed_actions_without_user WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}) AS left_out,
    (SELECT sum(views) AS views_sum, sum(likes) AS likes_sum, count() AS rows, uniqExact(user_id) AS users
     FROM {staging:Identifier}) AS staged
