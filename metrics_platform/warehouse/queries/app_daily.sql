-- The report's facts of a day: what its users did, from the merged table; who was new, came back or was active of
-- late, from the day's snapshot of all users.
WITH
    (part, whole) -> if(whole = 0, NULL, part / whole) AS ratio,
activity AS
(
    SELECT
        toInt64(countIf(used_feed OR used_messenger))      AS app_users,
        toInt64(countIf(used_feed))                        AS feed_users,
        toInt64(countIf(used_messenger))                   AS sending_users,
        toInt64(countIf(used_feed AND NOT used_messenger)) AS only_in_feed,
        toInt64(countIf(used_messenger AND NOT used_feed)) AS only_in_messenger,
        toInt64(countIf(used_feed AND used_messenger))     AS in_both,
        toInt64(countIf(messages_received > 0))            AS receiving_users,
        toInt64(sum(views))                                AS viewed,
        toInt64(sum(likes))                                AS liked,
        toInt64(sum(messages_sent))                        AS sent
    FROM user_daily
    WHERE event_date = {event_date:Date}
),
audience AS
(
    SELECT
        toInt64(countIf(is_new))                                                  AS first_seen,
        toInt64(countIf(is_new AND source = 'ads'))                               AS first_seen_ads,
        toInt64(countIf(is_new AND source = 'organic'))                           AS first_seen_organic,
        toInt64(countIf(last_active_day > {event_date:Date} - 7))                 AS active_7_days,
        toInt64(countIf(last_active_day > {event_date:Date} - 28))                AS active_28_days,
        toInt64(countIf(first_day = {event_date:Date} - 1))                       AS new_1_day_ago,
        toInt64(countIf(first_day = {event_date:Date} - 1 AND is_active))         AS new_1_day_ago_active,
        toInt64(countIf(first_day = {event_date:Date} - 7))                       AS new_7_days_ago,
        toInt64(countIf(first_day = {event_date:Date} - 7 AND is_active))         AS new_7_days_ago_active,
        -- Since the very first event of all: a window that begins before it is not known yet.
        ifNull(toInt64({event_date:Date} - minOrNull(first_day)) + 1, 0)          AS days_of_history
    FROM
    (
        SELECT
            first_day, last_active_day, source,
            first_day = {event_date:Date}       AS is_new,
            last_active_day = {event_date:Date} AS is_active
        FROM users
        WHERE event_date = {event_date:Date}
    )
)
SELECT
    {event_date:Date}                                  AS event_date,
    app_users                                          AS app_dau,
    feed_users                                         AS feed_dau,
    sending_users                                      AS messenger_dau,
    only_in_feed                                       AS feed_only,
    only_in_messenger                                  AS messenger_only,
    in_both                                            AS both_services,
    viewed                                             AS views,
    liked                                              AS likes,
    ratio(liked, viewed)                               AS ctr,
    ratio(viewed, feed_users)                          AS views_per_user,
    ratio(liked, feed_users)                           AS likes_per_user,
    sent                                               AS messages_sent,
    sending_users                                      AS senders,
    receiving_users                                    AS receivers,
    ratio(sent, sending_users)                         AS sent_per_sender,
    ratio(sent, receiving_users)                       AS received_per_receiver,
    -- (sent / senders) / (sent / receivers), without the rounding in between.
    ratio(receiving_users, sending_users)              AS sent_received,
    first_seen                                         AS new_users,
    first_seen_ads                                     AS new_users_ads,
    first_seen_organic                                 AS new_users_organic,
    first_seen - first_seen_ads - first_seen_organic   AS new_users_other,
    if(days_of_history < 7, NULL, active_7_days)       AS wau,
    if(days_of_history < 28, NULL, active_28_days)     AS mau,
    ratio(app_users, mau)                              AS stickiness,
    new_1_day_ago                                      AS cohort_d1,
    new_1_day_ago_active                               AS retained_d1,
    ratio(new_1_day_ago_active, new_1_day_ago)         AS retention_d1,
    new_7_days_ago                                     AS cohort_d7,
    new_7_days_ago_active                              AS retained_d7,
    ratio(new_7_days_ago_active, new_7_days_ago)       AS retention_d7
FROM activity, audience
-- A date that the zone's clocks skipped is no day: it has no row.
WHERE {day_start:DateTime('UTC')} < {day_end:DateTime('UTC')}
