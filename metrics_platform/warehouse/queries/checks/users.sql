-- The snapshot continues the one of the day before: nobody is lost, and everybody new has a first event today.
WITH
    previous AS
    (
        SELECT count() AS known FROM users WHERE event_date = {previous_date:Date}
    ),
    active AS
    (
        SELECT uniqExact(user_id) AS active_users
        FROM
        (
            SELECT user_id FROM feed_user_daily WHERE event_date = {event_date:Date}
            UNION ALL
            SELECT user_id FROM message_user_daily WHERE event_date = {event_date:Date} AND messages_sent > 0
        )
    ),
    staged AS
    (
        SELECT
            count() AS rows, uniqExact(user_id) AS distinct_users,
            countIf(first_day = {event_date:Date}) AS new_users,
            countIf(last_active_day = {event_date:Date}) AS active_users,
            countIf(first_day > last_active_day OR last_active_day > {event_date:Date}) AS impossible
        FROM {staging:Identifier}
    )
SELECT
    arrayJoin([
        ('continues_previous_day', 'users = users of the day before + new users', toInt64(previous.known + staged.new_users), toInt64(staged.rows)),
        ('continues_previous_day', 'users active today', toInt64(active.active_users), toInt64(staged.active_users)),
        ('continues_previous_day', 'users with a first or last day out of order', toInt64(0), toInt64(staged.impossible)),
        ('one_row_per_user', 'rows', toInt64(staged.distinct_users), toInt64(staged.rows))
    ]) AS comparison,
    comparison.1 AS check_name,
    comparison.2 AS quantity,
    comparison.3 AS expected,
    comparison.4 AS actual
FROM previous, active, staged
