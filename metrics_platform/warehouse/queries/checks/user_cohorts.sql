-- The cohorts add up to the snapshot's users of the last year and to the active users of the extracts.
WITH
    snapshot AS
    (
        SELECT
            count() AS users,
            countIf(last_active_day = {event_date:Date}) AS active_users,
            countIf(first_day = {event_date:Date}) AS new_users
        FROM users WHERE event_date = {event_date:Date} AND first_day > {event_date:Date} - 366
    ),
    staged AS
    (
        SELECT
            count() AS rows,
            uniqExact(first_day, source) AS keys,
            sum(staging.users) AS users_sum,
            sum(active) AS active_sum,
            sumIf(staging.users, days_since = 0) AS new_users_sum,
            countIf(active < 0 OR active > staging.users OR source = '' OR days_since != event_date - first_day
                    OR event_date != {event_date:Date} OR days_since NOT BETWEEN 0 AND 365) AS impossible
        FROM {staging:Identifier} AS staging
    )
SELECT
    arrayJoin([
        ('add_up_to_users', 'users', toInt64(snapshot.users), toInt64(users_sum)),
        ('add_up_to_users', 'active users', toInt64(active_users), toInt64(active_sum)),
        ('add_up_to_users', 'new users', toInt64(new_users), toInt64(new_users_sum)),
        ('values_are_valid', 'rows, one per first day and source', toInt64(keys), toInt64(rows)),
        ('values_are_valid', 'impossible rows', toInt64(0), toInt64(impossible))
    ]) AS comparison,
    comparison.1 AS check_name,
    comparison.2 AS quantity,
    comparison.3 AS expected,
    comparison.4 AS actual
FROM snapshot, staged
