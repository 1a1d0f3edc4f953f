-- The merged table has every user and every measure of both extracts, each once.
WITH
    feed AS
    (
        SELECT sum(views) AS views_sum, sum(likes) AS likes_sum, count() AS feed_users
        FROM feed_user_daily WHERE event_date = {event_date:Date}
    ),
    messages AS
    (
        SELECT
            sum(messages_received) AS received, sum(messages_sent) AS sent,
            sum(users_received) AS received_from, sum(users_sent) AS sent_to,
            countIf(messages_sent > 0) AS senders
        FROM message_user_daily WHERE event_date = {event_date:Date}
    ),
    both AS
    (
        SELECT uniqExact(user_id) AS distinct_users
        FROM
        (
            SELECT user_id FROM feed_user_daily WHERE event_date = {event_date:Date}
            UNION ALL
            SELECT user_id FROM message_user_daily WHERE event_date = {event_date:Date}
        )
    ),
    staged AS
    (
        SELECT
            sum(views) AS views_sum, sum(likes) AS likes_sum,
            sum(messages_received) AS received, sum(messages_sent) AS sent,
            sum(users_received) AS received_from, sum(users_sent) AS sent_to,
            countIf(used_feed) AS feed_users, countIf(used_messenger) AS senders,
            count() AS rows, uniqExact(user_id) AS distinct_users
        FROM {staging:Identifier}
    )
SELECT
    arrayJoin([
        ('reconciles_with_extracts', 'views', toInt64(feed.views_sum), toInt64(staged.views_sum)),
        ('reconciles_with_extracts', 'likes', toInt64(feed.likes_sum), toInt64(staged.likes_sum)),
        ('reconciles_with_extracts', 'messages_received', toInt64(messages.received), toInt64(staged.received)),
        ('reconciles_with_extracts', 'messages_sent', toInt64(messages.sent), toInt64(staged.sent)),
        ('reconciles_with_extracts', 'users_received', toInt64(messages.received_from), toInt64(staged.received_from)),
        ('reconciles_with_extracts', 'users_sent', toInt64(messages.sent_to), toInt64(staged.sent_to)),
        ('reconciles_with_extracts', 'feed users', toInt64(feed.feed_users), toInt64(staged.feed_users)),
        ('reconciles_with_extracts', 'senders', toInt64(messages.senders), toInt64(staged.senders)),
        ('one_row_per_user', 'rows', toInt64(both.distinct_users), toInt64(staged.rows)),
        ('one_row_per_user', 'distinct users', toInt64(both.distinct_users), toInt64(staged.distinct_users))
    ]) AS comparison,
    comparison.1 AS check_name,
    comparison.2 AS quantity,
    comparison.3 AS expected,
    comparison.4 AS actual
FROM feed, messages, both, staged
