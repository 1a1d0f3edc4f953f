-- The users' snapshot of a day: the snapshot of the day before, plus the day's own events from both extracts.
--
-- Days are disjoint in time, so whatever the day knows is later than anything in the snapshot before.
WITH
    -- A value behind the time it was seen at: see feed_user_daily.sql.
    (seen_at, value) -> concat(toString(seen_at), value) AS stamp,
    stamped -> substring(stamped, 20)                    AS value_of,
    number -> leftPad(toString(number), 10, '0')         AS padded,
extracts AS
(
    SELECT
        user_id, 1 AS service_order,
        os, os_seen_at, gender, gender_seen_at, age, age_seen_at, country, country_seen_at,
        city, city_seen_at, exp_group, exp_group_seen_at, source, first_seen_at
    FROM feed_user_daily
    WHERE event_date = {event_date:Date}
    UNION ALL
    SELECT
        user_id, 2 AS service_order,
        os, os_seen_at, gender, gender_seen_at, age, age_seen_at, country, country_seen_at,
        city, city_seen_at, exp_group, exp_group_seen_at, source, assumeNotNull(first_seen_at)
    FROM message_user_daily
    WHERE event_date = {event_date:Date} AND messages_sent > 0  -- who only received made no event
),
-- One row per user who made an event on the day. Same second in both services: the greatest value; for the
-- source of the first event the feed's.
day AS
(
    SELECT
        user_id,
        value_of(max(stamp(os_seen_at, os)))                                                             AS day_os,
        value_of(max(stamp(gender_seen_at, gender)))                                                     AS day_gender,
        toInt32(value_of(max(stamp(age_seen_at, padded(age)))))                                          AS day_age,
        value_of(max(stamp(country_seen_at, country)))                                                   AS day_country,
        value_of(max(stamp(city_seen_at, city)))                                                         AS day_city,
        toInt32(value_of(max(stamp(exp_group_seen_at, padded(exp_group)))))                              AS day_exp_group,
        substring(min(concat(toString(first_seen_at), toString(service_order), ifNull(source, ''))), 21) AS day_source
    FROM extracts
    GROUP BY user_id
)
SELECT
    {event_date:Date}                                                             AS event_date,
    user_id,
    coalesce(anyIf(value_os, is_day), anyIf(value_os, NOT is_day))                AS os,
    coalesce(anyIf(value_gender, is_day), anyIf(value_gender, NOT is_day))        AS gender,
    coalesce(anyIf(value_age, is_day), anyIf(value_age, NOT is_day))              AS age,
    coalesce(anyIf(value_country, is_day), anyIf(value_country, NOT is_day))      AS country,
    coalesce(anyIf(value_city, is_day), anyIf(value_city, NOT is_day))            AS city,
    coalesce(anyIf(value_exp_group, is_day), anyIf(value_exp_group, NOT is_day))  AS exp_group,
    -- Known before: the source stays what it was, also where it was not known.
    nullIf(if(countIf(NOT is_day) > 0, anyIf(value_source, NOT is_day), any(value_source)), '') AS source,
    min(value_first_day)                                                          AS first_day,
    max(value_last_active_day)                                                    AS last_active_day
FROM
(
    SELECT
        user_id, true AS is_day,
        day_os AS value_os, day_gender AS value_gender, day_age AS value_age, day_country AS value_country,
        day_city AS value_city, day_exp_group AS value_exp_group, day_source AS value_source,
        {event_date:Date} AS value_first_day, {event_date:Date} AS value_last_active_day
    FROM day
    UNION ALL
    SELECT
        user_id, false,
        os, gender, age, country, city, exp_group, ifNull(source, ''), first_day, last_active_day
    FROM users
    WHERE event_date = {previous_date:Date} AND {has_previous:Bool}
)
GROUP BY user_id
