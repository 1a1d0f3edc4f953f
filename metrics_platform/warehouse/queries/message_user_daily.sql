-- The messenger's extract: one row per user who sent or received in [day_start, day_end).
--
-- Senders and receivers are counted apart, each by its own column, and put together by UNION ALL + GROUP BY, so
-- that one-sided users stay. Attributes come from the rows a user sent; a receiver has none here.
WITH
    -- A value behind the time it was seen at (always 19 characters): the greatest of these strings is the latest
    -- value, and of several in one second the greatest. Numbers are padded, so that they compare as numbers do.
    -- Far cheaper in ClickHouse than argMax over tuples. NULL stays NULL, and max() passes it over.
    (seen_at, value) -> concat(toString(seen_at), value)                AS stamp,
    stamped -> substring(stamped, 20)                                   AS value_of,
    stamped -> toDateTime(substring(stamped, 1, 19), 'UTC')             AS time_of,
    number -> leftPad(toString(number), 10, '0')                        AS padded,
sender_sets AS
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
        count()                      AS set_messages,
        uniqExactState(receiver)     AS set_receivers,
        toDateTime(min(time), 'UTC') AS first_time,
        toDateTime(max(time), 'UTC') AS last_time
    FROM $message_actions
    WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
    GROUP BY $message_actions_keys
),
stamped_sets AS
(
    SELECT
        user, set_messages, set_receivers, first_time,
        stamp(last_time, known_os)                                           AS stamped_os,
        stamp(last_time, known_gender)                                       AS stamped_gender,
        stamp(last_time, if(known_age >= 0, padded(known_age), NULL))        AS stamped_age,
        stamp(last_time, known_country)                                      AS stamped_country,
        stamp(last_time, known_city)                                         AS stamped_city,
        stamp(last_time, if(known_exp_group >= 0, padded(known_exp_group), NULL)) AS stamped_exp_group,
        -- The source of the first event, of several in that second the greatest: the earlier, the greater.
        concat(padded(4294967295 - toUnixTimestamp(first_time)), ifNull(known_source, '')) AS stamped_source
    FROM sender_sets
),
senders AS
(
    SELECT
        toUInt64(user)                                 AS participant_id,
        sum(set_messages)                              AS sent,
        uniqExactMerge(set_receivers)                  AS sent_to,
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
),
receivers AS
(
    SELECT
        toUInt64(receiver) AS participant_id,
        count()            AS received,
        uniqExact(user)    AS received_from
    FROM $message_actions
    WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
    GROUP BY receiver
)
-- `any` takes the sender's row where there is one: the receiver's brings NULL, which it passes over.
SELECT
    {event_date:Date}      AS event_date,
    participant_id         AS user_id,
    sum(sent)              AS messages_sent,
    sum(sent_to)           AS users_sent,
    sum(received)          AS messages_received,
    sum(received_from)     AS users_received,
    any(os), any(os_seen_at), any(gender), any(gender_seen_at), any(age), any(age_seen_at),
    any(country), any(country_seen_at), any(city), any(city_seen_at),
    any(exp_group), any(exp_group_seen_at), any(source), any(first_seen_at)
FROM
(
    SELECT
        participant_id, sent, sent_to, 0 AS received, 0 AS received_from,
        os, os_seen_at, gender, gender_seen_at, age, age_seen_at, country, country_seen_at,
        city, city_seen_at, exp_group, exp_group_seen_at, source,
        toNullable(first_seen_at) AS first_seen_at
    FROM senders
    UNION ALL
    SELECT
        participant_id, 0, 0, received, received_from,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM receivers
)
GROUP BY participant_id
