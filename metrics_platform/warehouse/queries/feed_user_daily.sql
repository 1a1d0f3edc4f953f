-- The feed's extract: one row per user with a feed action in [day_start, day_end).
--
-- Events are first folded into the few different sets of attributes a user's rows carry (usually one), so that
-- the latest known value of each attribute is looked for among a handful of rows and not among all events.
WITH attribute_sets AS
(
    SELECT
        user_id,
        os, gender, age, country, city, exp_group, source,
        countIf(action = 'view')      AS set_views,
        countIf(action = 'like')      AS set_likes,
        toDateTime(min(time), 'UTC')  AS first_time,
        toDateTime(max(time), 'UTC')  AS last_time
    FROM {feed_database:Identifier}.{feed_table:Identifier}
    WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
    GROUP BY user_id, os, gender, age, country, city, exp_group, source
),
-- What counts as not known becomes NULL, in one spelling for all types a source may have.
known_sets AS
(
    SELECT
        user_id, set_views, set_likes, first_time, last_time,
        nullIf(toString(os), '')                                                   AS known_os,
        multiIf(toString(gender) IN ('1', 'male'), 'male',
                toString(gender) IN ('0', 'female'), 'female', NULL)               AS known_gender,
        if(age > 0, toInt32(age), NULL)                                            AS known_age,
        nullIf(toString(country), '')                                              AS known_country,
        nullIf(toString(city), '')                                                 AS known_city,
        if(exp_group >= 0, toInt32(exp_group), NULL)                               AS known_exp_group,
        ifNull(toString(source), '')                                               AS source_or_empty
    FROM attribute_sets
)
-- Latest known value: greatest (time, value) among the rows where the value is known.
SELECT
    {event_date:Date}                                                                            AS event_date,
    user_id,
    sum(set_views)                                                                               AS views,
    sum(set_likes)                                                                               AS likes,
    argMaxIf(known_os, (last_time, known_os), known_os IS NOT NULL)                              AS os,
    maxOrNullIf(last_time, known_os IS NOT NULL)                                                 AS os_seen_at,
    argMaxIf(known_gender, (last_time, known_gender), known_gender IS NOT NULL)                  AS gender,
    maxOrNullIf(last_time, known_gender IS NOT NULL)                                             AS gender_seen_at,
    argMaxIf(known_age, (last_time, known_age), known_age IS NOT NULL)                           AS age,
    maxOrNullIf(last_time, known_age IS NOT NULL)                                                AS age_seen_at,
    argMaxIf(known_country, (last_time, known_country), known_country IS NOT NULL)               AS country,
    maxOrNullIf(last_time, known_country IS NOT NULL)                                            AS country_seen_at,
    argMaxIf(known_city, (last_time, known_city), known_city IS NOT NULL)                        AS city,
    maxOrNullIf(last_time, known_city IS NOT NULL)                                               AS city_seen_at,
    argMaxIf(known_exp_group, (last_time, known_exp_group), known_exp_group IS NOT NULL)         AS exp_group,
    maxOrNullIf(last_time, known_exp_group IS NOT NULL)                                          AS exp_group_seen_at,
    -- The source of the first event; of several in that second the greatest.
    nullIf(argMax(source_or_empty, (-toInt64(toUnixTimestamp(first_time)), source_or_empty)), '') AS source,
    min(first_time)                                                                              AS first_seen_at
FROM known_sets
GROUP BY user_id
