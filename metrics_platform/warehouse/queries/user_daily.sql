-- The merged table: both extracts of the day in one row per user, with the attributes the user has in the
-- snapshot of the day. A receiver has its own attributes from there, never the sender's.
WITH activity AS
(
    SELECT
        user_id                 AS active_user_id,
        sum(viewed)             AS views,
        sum(liked)              AS likes,
        sum(received)           AS messages_received,
        sum(sent)               AS messages_sent,
        sum(received_from)      AS users_received,
        sum(sent_to)            AS users_sent,
        max(in_feed)            AS used_feed,
        max(in_messenger)       AS used_messenger
    FROM
    (
        SELECT
            user_id, views AS viewed, likes AS liked, 0 AS received, 0 AS sent, 0 AS received_from, 0 AS sent_to,
            true AS in_feed, false AS in_messenger
        FROM feed_user_daily
        WHERE event_date = {event_date:Date}
        UNION ALL
        SELECT
            user_id, 0, 0, messages_received, messages_sent, users_received, users_sent,
            false, messages_sent > 0
        FROM message_user_daily
        WHERE event_date = {event_date:Date}
    )
    GROUP BY user_id
)
SELECT
    {event_date:Date}  AS event_date,
    active_user_id     AS user_id,
    views, likes, messages_received, messages_sent, users_received, users_sent,
    used_feed, used_messenger,
    snapshot.os, snapshot.gender, snapshot.age,
    $known_age_group AS age_group,
    snapshot.source, snapshot.country, snapshot.city, snapshot.exp_group
FROM
(
    -- Most users of the snapshot did nothing on the day. They are left out before they are merged.
    SELECT * FROM users
    PREWHERE user_id IN (
        SELECT user_id FROM feed_user_daily WHERE event_date = {event_date:Date}
        UNION ALL
        SELECT user_id FROM message_user_daily WHERE event_date = {event_date:Date})
    WHERE event_date = {event_date:Date}
) AS snapshot
RIGHT ANY JOIN activity ON snapshot.user_id = activity.active_user_id
-- Both sides are merged in order, so beside the ids of the day's users it needs little memory.
SETTINGS join_algorithm = 'full_sorting_merge'
