-- The feed's extract against a count taken straight from the source. `staging` holds the day before it is
-- swapped in; `without_user` is how many rows of the source belong to no user, and are left out.
WITH
    source AS
    (
        SELECT
            countIf(action = 'view') AS views,
            countIf(action = 'like') AS likes,
            uniqExact(user)          AS users
        FROM $feed_actions
        WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
    ),
    left_out AS
    (
        SELECT count() AS without_user
        FROM $feed_actions_without_user
        WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
    ),
    staged AS
    (
        SELECT
            sum(views)         AS views_sum,
            sum(likes)         AS likes_sum,
            count()            AS rows,
            uniqExact(user_id) AS users
        FROM {staging:Identifier}
    )
SELECT
    arrayJoin([
        ('reconciles_with_source', 'views', toInt64(source.views), toInt64(staged.views_sum)),
        ('reconciles_with_source', 'likes', toInt64(source.likes), toInt64(staged.likes_sum)),
        ('reconciles_with_source', 'users', toInt64(source.users), toInt64(staged.users)),
        ('one_row_per_user', 'rows', toInt64(staged.users), toInt64(staged.rows))
    ]) AS comparison,
    comparison.1 AS check_name,
    comparison.2 AS quantity,
    comparison.3 AS expected,
    comparison.4 AS actual,
    left_out.without_user AS without_user
FROM source, left_out, staged
