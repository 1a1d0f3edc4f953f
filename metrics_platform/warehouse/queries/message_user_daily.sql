-- The messenger's extract: one row per user who sent or received in [day_start, day_end).
--
-- Senders and receivers are counted apart, each by its own column, and put together by UNION ALL + GROUP BY, so
-- that one-sided users stay. Attributes come from the rows a user sent; a receiver has none here.
WITH sender_sets AS
(
    SELECT
        user_id,
        os, gender, age, country, city, exp_group, source,
        count()                                                 AS set_messages,
        uniqExactState({receiver_column:Identifier})            AS set_receivers,
        toDateTime(min(time), 'UTC')                            AS first_time,
        toDateTime(max(time), 'UTC')                            AS last_time
    FROM {messages_database:Identifier}.{messages_table:Identifier}
    WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
    GROUP BY user_id, os, gender, age, country, city, exp_group, source
),
-- What counts as not known becomes NULL, in one spelling for all types a source may have.
known_sets AS
(
    SELECT
        user_id, set_messages, set_receivers, first_time, last_time,
        nullIf(toString(os), '')                                                   AS known_os,
        multiIf(toString(gender) IN ('1', 'male'), 'male',
                toString(gender) IN ('0', 'female'), 'female', NULL)               AS known_gender,
        if(age > 0, toInt32(age), NULL)                                            AS known_age,
        nullIf(toString(country), '')                                              AS known_country,
        nullIf(toString(city), '')                                                 AS known_city,
        if(exp_group >= 0, toInt32(exp_group), NULL)                               AS known_exp_group,
        ifNull(toString(source), '')                                               AS source_or_empty
    FROM sender_sets
),
senders AS
(
    SELECT
        toUInt64(user_id)                                                                             AS participant_id,
        sum(set_messages)                                                                             AS sent,
        uniqExactMerge(set_receivers)                                                                 AS sent_to,
        argMaxIf(known_os, (last_time, known_os), known_os IS NOT NULL)                               AS os,
        maxOrNullIf(last_time, known_os IS NOT NULL)                                                  AS os_seen_at,
        argMaxIf(known_gender, (last_time, known_gender), known_gender IS NOT NULL)                   AS gender,
        maxOrNullIf(last_time, known_gender IS NOT NULL)                                              AS gender_seen_at,
        argMaxIf(known_age, (last_time, known_age), known_age IS NOT NULL)                            AS age,
        maxOrNullIf(last_time, known_age IS NOT NULL)                                                 AS age_seen_at,
        argMaxIf(known_country, (last_time, known_country), known_country IS NOT NULL)                AS country,
        maxOrNullIf(last_time, known_country IS NOT NULL)                                             AS country_seen_at,
        argMaxIf(known_city, (last_time, known_city), known_city IS NOT NULL)                         AS city,
        maxOrNullIf(last_time, known_city IS NOT NULL)                                                AS city_seen_at,
        argMaxIf(known_exp_group, (last_time, known_exp_group), known_exp_group IS NOT NULL)          AS exp_group,
        maxOrNullIf(last_time, known_exp_group IS NOT NULL)                                           AS exp_group_seen_at,
        -- The source of the first event; of several in that second the greatest.
        nullIf(argMax(source_or_empty, (-toInt64(toUnixTimestamp(first_time)), source_or_empty)), '') AS source,
        min(first_time)                                                                               AS first_seen_at
    FROM known_sets
    GROUP BY user_id
),
receivers AS
(
    SELECT
        toUInt64({receiver_column:Identifier}) AS participant_id,
        count()                                AS received,
        uniqExact(user_id)                     AS received_from
    FROM {messages_database:Identifier}.{messages_table:Identifier}
    WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
    GROUP BY {receiver_column:Identifier}
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
