-- The report's facts equal counts taken straight from the source, their parts add up, and the merged table, the snapshot
-- and the extracts, which they come from, tell the same of the day's users. Distinct users are not counted in the source
-- again: the extracts' own checks have done it. `late`: see dimension_metrics.sql.
WITH
    source_feed AS
    (
        SELECT countIf(action = 'view') AS views, countIf(action = 'like') AS likes
        FROM $feed_actions
        WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
    ),
    source_messages AS
    (
        SELECT count() AS messages
        FROM $message_actions
        WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
    ),
    extract_feed AS
    (
        SELECT sum(views) AS views_sum, sum(likes) AS likes_sum, count() AS users
        FROM feed_user_daily WHERE event_date = {event_date:Date}
    ),
    extract_messages AS
    (
        SELECT sum(messages_sent) AS messages, countIf(messages_sent > 0) AS senders,
               countIf(messages_received > 0) AS receivers
        FROM message_user_daily WHERE event_date = {event_date:Date}
    ),
    extracts AS
    (
        SELECT uniqExact(user_id) AS users
        FROM
        (
            SELECT user_id FROM feed_user_daily WHERE event_date = {event_date:Date}
            UNION ALL
            SELECT user_id FROM message_user_daily WHERE event_date = {event_date:Date} AND messages_sent > 0
        )
    ),
    snapshot AS
    (
        SELECT
            countIf(last_active_day = {event_date:Date}) AS active_users,
            countIf(first_day < {event_date:Date})       AS known_before
        FROM users WHERE event_date = {event_date:Date}
    ),
    snapshot_before AS
    (
        SELECT count() AS known FROM users WHERE event_date = {previous_date:Date}
    ),
    staged AS
    (
        -- Sums over the one row, or over none.
        SELECT
            count() AS rows,
            [sum(views), sum(likes), sum(messages_sent)] AS counts,
            [sum(feed_dau), sum(senders), sum(receivers)] AS users_by_role,
            sum(app_dau) AS app_users,
            sum(messenger_dau) AS messenger_users,
            sum(feed_only + messenger_only + both_services) AS users_by_service,
            sum(feed_only + both_services) AS feed_users,
            sum(new_users) AS new_users_sum,
            sum(new_users_ads + new_users_organic + new_users_other) AS new_users_by_source,
            countIf(app_dau > wau OR wau > mau OR retained_d1 > cohort_d1 OR retained_d7 > cohort_d7
                    OR new_users > app_dau) AS out_of_order,
            countIf(event_date != {event_date:Date}) AS other_days
        FROM {staging:Identifier}
    ),
    ['views', 'likes', 'messages'] AS quantities,
    [source_feed.views, source_feed.likes, source_messages.messages] AS in_source,
    [extract_feed.views_sum, extract_feed.likes_sum, extract_messages.messages] AS in_extracts
SELECT
    arrayJoin(arrayConcat(
        arrayMap(
            (quantity, counted, extracted, found) ->
                ('reconciles_with_source', quantity, toInt64(counted), toInt64(found),
                 toInt64(counted) - toInt64(extracted)),
            quantities, in_source, in_extracts, counts),
        arrayMap(
            (role, extracted, found) ->
                ('reconciles_with_users', concat(role, ', in the extracts'), toInt64(extracted), toInt64(found), toInt64(0)),
            ['feed users', 'senders', 'receivers'],
            [extract_feed.users, extract_messages.senders, extract_messages.receivers], users_by_role),
        [
            ('reconciles_with_users', 'active users, in the extracts', toInt64(extracts.users), toInt64(app_users), toInt64(0)),
            ('reconciles_with_users', 'active users, in the snapshot', toInt64(active_users), toInt64(app_users), toInt64(0)),
            -- The day before may have been dropped to save space.
            ('reconciles_with_users', 'users known before, in the snapshot of the day before',
             if(known = 0, toInt64(known_before), toInt64(known)), toInt64(known_before), toInt64(0)),
            ('parts_add_up', 'feed only + messenger only + both', toInt64(app_users), toInt64(users_by_service), toInt64(0)),
            ('parts_add_up', 'feed only + both', toInt64(users_by_role[1]), toInt64(staged.feed_users), toInt64(0)),
            ('parts_add_up', 'messenger DAU, the senders', toInt64(users_by_role[2]), toInt64(messenger_users), toInt64(0)),
            ('parts_add_up', 'new users by source', toInt64(new_users_sum), toInt64(new_users_by_source), toInt64(0)),
            ('parts_add_up', 'DAU over WAU, WAU over MAU, retained over new', toInt64(0), toInt64(out_of_order), toInt64(0)),
            ('one_row_per_day', 'rows', toInt64({day_start:DateTime('UTC')} < {day_end:DateTime('UTC')}), toInt64(rows), toInt64(0)),
            ('one_row_per_day', 'rows of another day', toInt64(0), toInt64(other_days), toInt64(0))
        ]
    )) AS comparison,
    comparison.1 AS check_name,
    comparison.2 AS quantity,
    comparison.3 AS expected,
    comparison.4 AS actual,
    comparison.5 AS late
FROM source_feed, source_messages, extract_feed, extract_messages, extracts, snapshot, snapshot_before, staged
