-- The users' snapshot of a day: the snapshot of the day before, plus the day's own events from both extracts. Before the
-- first day, the snapshot holds all users with an earlier event (earlier_users.sql).
--
-- Most users of that snapshot were not active: their rows are copied unchanged. Only the rows of the day's users are
-- computed.
WITH
active_ids AS
(
    SELECT user_id FROM feed_user_daily WHERE event_date = {event_date:Date}
    UNION ALL
    SELECT user_id FROM message_user_daily WHERE event_date = {event_date:Date} AND messages_sent > 0
),
since AS
(
    WITH
        -- Of two values the one seen later; in the same second the greater. NULL is not known.
        (value, seen_at, other, other_seen_at) -> multiIf(
            value IS NULL, other,
            other IS NULL, value,
            seen_at > other_seen_at OR (seen_at = other_seen_at AND value >= other), value,
            other) AS later
    SELECT
        user_id,
        later(feed.os, feed.os_seen_at, sent.os, sent.os_seen_at)                             AS os,
        later(feed.gender, feed.gender_seen_at, sent.gender, sent.gender_seen_at)             AS gender,
        later(feed.age, feed.age_seen_at, sent.age, sent.age_seen_at)                         AS age,
        later(feed.country, feed.country_seen_at, sent.country, sent.country_seen_at)         AS country,
        later(feed.city, feed.city_seen_at, sent.city, sent.city_seen_at)                     AS city,
        later(feed.exp_group, feed.exp_group_seen_at, sent.exp_group, sent.exp_group_seen_at) AS exp_group,
        -- Of the first event; in the same second the feed's.
        if(in_feed AND (NOT has_sent OR feed.first_seen_at <= sent.first_seen_at), feed.source, sent.source) AS source,
        {event_date:Date} AS first_day,
        {event_date:Date} AS last_day
    FROM (SELECT *, true AS in_feed FROM feed_user_daily WHERE event_date = {event_date:Date}) AS feed
    FULL JOIN
    (
        SELECT *, true AS has_sent
        FROM message_user_daily
        WHERE event_date = {event_date:Date} AND messages_sent > 0  -- who only received made no event
    ) AS sent USING (user_id)
)
SELECT * REPLACE ({event_date:Date} AS event_date)
FROM
(
    SELECT * FROM users
    PREWHERE user_id NOT IN active_ids
    WHERE event_date = {previous_date:Date}
)
UNION ALL
-- Days are disjoint in time, so whatever `since` knows is later than anything in the earlier snapshot.
SELECT
    {event_date:Date} AS event_date,
    user_id,
    $continued_attributes,
    active.last_day AS last_active_day
FROM since AS active
LEFT JOIN
(
    SELECT *, true AS is_known FROM users
    PREWHERE user_id IN active_ids
    WHERE event_date = {previous_date:Date}
) AS known USING (user_id)
-- Without a partner a flag is false, and not NULL, whatever the account's profile says. Both sides are merged in the
-- order in which they are stored, so beside the active users' ids it needs little memory.
SETTINGS join_use_nulls = 0, join_algorithm = 'full_sorting_merge'
