-- The merged table has every user and every measure of both extracts, each once.
SELECT
    (views_sum, merged[1])             AS `reconciles_with_extracts: views`,
    (likes_sum, merged[2])             AS `reconciles_with_extracts: likes`,
    (received, merged[3])              AS `reconciles_with_extracts: messages_received`,
    (sent, merged[4])                  AS `reconciles_with_extracts: messages_sent`,
    (received_from, merged[5])         AS `reconciles_with_extracts: users_received`,
    (sent_to, merged[6])               AS `reconciles_with_extracts: users_sent`,
    (feed_users, merged_feed_users)    AS `reconciles_with_extracts: feed users`,
    (senders, merged_senders)          AS `reconciles_with_extracts: senders`,
    (users_in_extracts, rows)          AS `one_row_per_user: rows`,
    (users_in_extracts, distinct_users) AS `one_row_per_user: distinct users`
FROM
    (SELECT sum(views) AS views_sum, sum(likes) AS likes_sum, count() AS feed_users
     FROM feed_user_daily WHERE event_date = {event_date:Date}) AS feed,
    (SELECT sum(messages_received) AS received, sum(messages_sent) AS sent,
            sum(users_received) AS received_from, sum(users_sent) AS sent_to, countIf(messages_sent > 0) AS senders
     FROM message_user_daily WHERE event_date = {event_date:Date}) AS messages,
    (SELECT uniqExact(user_id) AS users_in_extracts
     FROM (SELECT user_id FROM feed_user_daily WHERE event_date = {event_date:Date}
           UNION ALL SELECT user_id FROM message_user_daily WHERE event_date = {event_date:Date})) AS both,
    (SELECT $sums AS merged, countIf(used_feed) AS merged_feed_users, countIf(used_messenger) AS merged_senders,
            count() AS rows, uniqExact(user_id) AS distinct_users
     FROM {staging:Identifier}) AS staged
