-- The feed's extract: one row per user with a feed action in [day_start, day_end).
--
-- Events are first folded into the few different sets of attributes a user's rows carry (usually one), so that
-- the latest known value of each attribute is looked for among a handful of rows and not among all events.
WITH
    -- A value behind the time it was seen at (always 19 characters): the greatest of these strings is the latest
    -- value, and of several in one second the greatest. Numbers are padded, so that they compare as numbers do.
    -- Far cheaper in ClickHouse than argMax over tuples. NULL stays NULL, and max() passes it over.
    (seen_at, value) -> concat(toString(seen_at), value)                AS stamp,
    stamped -> substring(stamped, 20)                                   AS value_of,
    stamped -> toDateTime(substring(stamped, 1, 19), 'UTC')             AS time_of,
    number -> leftPad(toString(number), 10, '0')                        AS padded,
attribute_sets AS
(
    SELECT
        user,
        $known_os        AS known_os,
        $known_gender    AS known_gender,
        $known_age       AS known_age,
        $known_country   AS known_country,
        $known_city      AS known_city,
        $known_exp_group AS known_exp_group,
        $known_source    AS known_source,
        countIf(action = 'view')      AS set_views,
        countIf(action = 'like')      AS set_likes,
        toDateTime(min(time), 'UTC')  AS first_time,
        toDateTime(max(time), 'UTC')  AS last_time
    FROM $feed_actions
    WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
    GROUP BY $feed_actions_keys
),
stamped_sets AS
(
    SELECT
        user, set_views, set_likes, first_time,
        stamp(last_time, known_os)                                           AS stamped_os,
        stamp(last_time, known_gender)                                       AS stamped_gender,
        stamp(last_time, if(known_age >= 0, padded(known_age), NULL))        AS stamped_age,
        stamp(last_time, known_country)                                      AS stamped_country,
        stamp(last_time, known_city)                                         AS stamped_city,
        stamp(last_time, if(known_exp_group >= 0, padded(known_exp_group), NULL)) AS stamped_exp_group,
        -- The source of the first event, of several in that second the greatest: the earlier, the greater.
        concat(padded(4294967295 - toUnixTimestamp(first_time)), ifNull(known_source, '')) AS stamped_source
    FROM attribute_sets
)
SELECT
    {event_date:Date}                              AS event_date,
    user                                           AS user_id,
    sum(set_views)                                 AS views,
    sum(set_likes)                                 AS likes,
    value_of(max(stamped_os))                      AS os,
    time_of(max(stamped_os))                       AS os_seen_at,
    value_of(max(stamped_gender))                  AS gender,
    time_of(max(stamped_gender))                   AS gender_seen_at,
    toInt32(value_of(max(stamped_age)))            AS age,
    time_of(max(stamped_age))                      AS age_seen_at,
    value_of(max(stamped_country))                 AS country,
    time_of(max(stamped_country))                  AS country_seen_at,
    value_of(max(stamped_city))                    AS city,
    time_of(max(stamped_city))                     AS city_seen_at,
    toInt32(value_of(max(stamped_exp_group)))      AS exp_group,
    time_of(max(stamped_exp_group))                AS exp_group_seen_at,
    nullIf(substring(max(stamped_source), 11), '') AS source,
    min(first_time)                                AS first_seen_at
FROM stamped_sets
GROUP BY user
