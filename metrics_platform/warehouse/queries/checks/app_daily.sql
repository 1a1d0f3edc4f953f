-- The report's facts equal counts taken straight from the source, their parts add up, and the merged table, the snapshot
-- and the extracts, which they come from, agree on the day's users. Distinct users are not counted in the source again:
-- the extracts' own checks have done it. The third number: see dimension_metrics.sql.
SELECT
    (source_feed.views, staged_views, source_feed.views - extracted_views)   AS `reconciles_with_source: views`,
    (source_feed.likes, staged_likes, source_feed.likes - extracted_likes)   AS `reconciles_with_source: likes`,
    (messages, staged_messages, messages - extracted_messages)               AS `reconciles_with_source: messages`,
    (feed_users, staged_feed_dau)              AS `reconciles_with_users: feed users, in the extracts`,
    (sending, staged_senders)                  AS `reconciles_with_users: senders, in the extracts`,
    (receiving, staged_receivers)              AS `reconciles_with_users: receivers, in the extracts`,
    (extracted_users, app_users)               AS `reconciles_with_users: active users, in the extracts`,
    (active_users, app_users)                  AS `reconciles_with_users: active users, in the snapshot`,
    -- The day before may have been dropped to save space.
    (if(known = 0, known_before, known), known_before)
        AS `reconciles_with_users: users known before, in the snapshot of the day before`,
    (app_users, users_by_service)              AS `parts_add_up: feed only + messenger only + both`,
    (staged_feed_dau, feed_only_and_both)      AS `parts_add_up: feed only + both`,
    (staged_senders, messenger_users)          AS `parts_add_up: messenger DAU, the senders`,
    (new_users_sum, new_users_by_source)       AS `parts_add_up: new users by source`,
    (0, out_of_order)                          AS `parts_add_up: DAU over WAU, WAU over MAU, retained over new`,
    ({day_start:DateTime('UTC')} < {day_end:DateTime('UTC')}, rows) AS `one_row_per_day: rows`,
    (0, other_days)                            AS `one_row_per_day: rows of another day`
FROM
    (SELECT countIf(action = 'view') AS views, countIf(action = 'like') AS likes
     FROM $feed_actions WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}) AS source_feed,
    (SELECT count() AS messages
     FROM $message_actions WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}) AS source_messages,
    (SELECT sum(views) AS extracted_views, sum(likes) AS extracted_likes, count() AS feed_users
     FROM feed_user_daily WHERE event_date = {event_date:Date}) AS extract_feed,
    (SELECT sum(messages_sent) AS extracted_messages, countIf(messages_sent > 0) AS sending,
            countIf(messages_received > 0) AS receiving
     FROM message_user_daily WHERE event_date = {event_date:Date}) AS extract_messages,
    (SELECT uniqExact(user_id) AS extracted_users
     FROM (SELECT user_id FROM feed_user_daily WHERE event_date = {event_date:Date}
           UNION ALL SELECT user_id FROM message_user_daily WHERE event_date = {event_date:Date} AND messages_sent > 0)) AS extracts,
    (SELECT countIf(last_active_day = {event_date:Date}) AS active_users,
            countIf(first_day < {event_date:Date}) AS known_before
     FROM users WHERE event_date = {event_date:Date}) AS snapshot,
    (SELECT count() AS known FROM users WHERE event_date = {previous_date:Date}) AS snapshot_before,
    -- Sums over the one row, or over none.
    (SELECT count() AS rows, sum(views) AS staged_views, sum(likes) AS staged_likes,
            sum(messages_sent) AS staged_messages, sum(feed_dau) AS staged_feed_dau, sum(senders) AS staged_senders,
            sum(receivers) AS staged_receivers, sum(app_dau) AS app_users, sum(messenger_dau) AS messenger_users,
            sum(feed_only + messenger_only + both_services) AS users_by_service,
            sum(feed_only + both_services) AS feed_only_and_both, sum(new_users) AS new_users_sum,
            sum(new_users_ads + new_users_organic + new_users_other) AS new_users_by_source,
            countIf(app_dau > wau OR wau > mau OR retained_d1 > cohort_d1 OR retained_d7 > cohort_d7
                    OR new_users > app_dau) AS out_of_order,
            countIf(event_date != {event_date:Date}) AS other_days
     FROM {staging:Identifier}) AS staged
