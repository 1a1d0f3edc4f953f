-- The users' snapshot of a day: the snapshot of the day before, plus the day's own events from both extracts. Before the
-- first day, the snapshot holds everybody with an earlier event (earlier_users.sql).
--
-- Days are disjoint in time, so whatever the day knows is later than anything in the snapshot before. Most users of the
-- snapshot did not come on the day: they pass a join, which costs a third of grouping everybody anew, and as both sides
-- are merged in the order they are stored in, it needs little memory however many users there are.
WITH
day AS
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
        true                                                                                  AS is_active,
        later(feed.os, feed.os_seen_at, sent.os, sent.os_seen_at)                             AS day_os,
        later(feed.gender, feed.gender_seen_at, sent.gender, sent.gender_seen_at)             AS day_gender,
        later(feed.age, feed.age_seen_at, sent.age, sent.age_seen_at)                         AS day_age,
        later(feed.country, feed.country_seen_at, sent.country, sent.country_seen_at)         AS day_country,
        later(feed.city, feed.city_seen_at, sent.city, sent.city_seen_at)                     AS day_city,
        later(feed.exp_group, feed.exp_group_seen_at, sent.exp_group, sent.exp_group_seen_at) AS day_exp_group,
        -- Of the first event; in the same second the feed's.
        if(in_feed AND (NOT has_sent OR feed.first_seen_at <= sent.first_seen_at), feed.source, sent.source) AS day_source
    FROM (SELECT *, true AS in_feed FROM feed_user_daily WHERE event_date = {event_date:Date}) AS feed
    FULL JOIN
    (
        SELECT *, true AS has_sent
        FROM message_user_daily
        WHERE event_date = {event_date:Date} AND messages_sent > 0  -- who only received made no event
    ) AS sent USING (user_id)
)
SELECT
    {event_date:Date}                                               AS event_date,
    user_id,
    coalesce(day_os, known.os)                                      AS os,
    coalesce(day_gender, known.gender)                              AS gender,
    coalesce(day_age, known.age)                                    AS age,
    coalesce(day_country, known.country)                            AS country,
    coalesce(day_city, known.city)                                  AS city,
    coalesce(day_exp_group, known.exp_group)                        AS exp_group,
    -- Known before: the source stays what it was, also where it was not known.
    if(is_known, known.source, day_source)                          AS source,
    if(is_known, known.first_day, {event_date:Date})                AS first_day,
    if(is_active, {event_date:Date}, known.last_active_day)         AS last_active_day
FROM
(
    SELECT *, true AS is_known
    FROM users
    WHERE event_date = {previous_date:Date}
) AS known
FULL JOIN day USING (user_id)
-- Without a partner a flag is false, and not NULL, whatever the account's profile says.
SETTINGS join_use_nulls = 0, join_algorithm = 'full_sorting_merge'
