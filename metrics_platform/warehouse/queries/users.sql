-- The users' snapshot of a day: the snapshot of the day before, plus the day's own events from both extracts.
--
-- Days are disjoint in time, so whatever the day knows is later than anything in the snapshot before.
WITH extracts AS
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
        argMaxIf(os, (os_seen_at, os), os IS NOT NULL)                             AS day_os,
        argMaxIf(gender, (gender_seen_at, gender), gender IS NOT NULL)             AS day_gender,
        argMaxIf(age, (age_seen_at, age), age IS NOT NULL)                         AS day_age,
        argMaxIf(country, (country_seen_at, country), country IS NOT NULL)         AS day_country,
        argMaxIf(city, (city_seen_at, city), city IS NOT NULL)                     AS day_city,
        argMaxIf(exp_group, (exp_group_seen_at, exp_group), exp_group IS NOT NULL) AS day_exp_group,
        argMin(ifNull(source, ''), (first_seen_at, service_order))                 AS day_source
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
