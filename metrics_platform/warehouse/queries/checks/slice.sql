-- One dimension's slices add up to the merged table, and every value stands there once.
WITH
    merged AS
    (
        SELECT
            sum(views) AS views_sum, sum(likes) AS likes_sum,
            sum(messages_received) AS received, sum(messages_sent) AS sent,
            sum(users_received) AS received_from, sum(users_sent) AS sent_to
        FROM user_daily WHERE event_date = {event_date:Date}
    ),
    staged AS
    (
        SELECT
            sum(views) AS views_sum, sum(likes) AS likes_sum,
            sum(messages_received) AS received, sum(messages_sent) AS sent,
            sum(users_received) AS received_from, sum(users_sent) AS sent_to,
            count() AS rows, uniqExact(dimension_value) AS distinct_values,
            countIf(dimension_value = '') AS empty_values,
            countIf(least(views, likes, messages_received, messages_sent, users_received, users_sent) < 0) AS negative
        FROM {staging:Identifier}
    )
SELECT
    arrayJoin([
        ('reconciles_with_users', 'views', toInt64(merged.views_sum), toInt64(staged.views_sum)),
        ('reconciles_with_users', 'likes', toInt64(merged.likes_sum), toInt64(staged.likes_sum)),
        ('reconciles_with_users', 'messages_received', toInt64(merged.received), toInt64(staged.received)),
        ('reconciles_with_users', 'messages_sent', toInt64(merged.sent), toInt64(staged.sent)),
        ('reconciles_with_users', 'users_received', toInt64(merged.received_from), toInt64(staged.received_from)),
        ('reconciles_with_users', 'users_sent', toInt64(merged.sent_to), toInt64(staged.sent_to)),
        ('values_are_valid', 'rows, one per value', toInt64(staged.distinct_values), toInt64(staged.rows)),
        ('values_are_valid', 'empty values', toInt64(0), toInt64(staged.empty_values)),
        ('values_are_valid', 'rows with a negative measure', toInt64(0), toInt64(staged.negative))
    ]) AS comparison,
    comparison.1 AS check_name,
    comparison.2 AS quantity,
    comparison.3 AS expected,
    comparison.4 AS actual
FROM merged, staged
