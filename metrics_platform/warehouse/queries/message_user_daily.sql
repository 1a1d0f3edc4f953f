-- The messenger's extract: one row per user who sent or received in [day_start, day_end).
--
-- Senders and receivers are counted apart, each by its own column, and put together by UNION ALL + GROUP BY, so
-- that one-sided users stay. Attributes come from the rows a user sent; a receiver has none here.
WITH
senders AS
(
    WITH
        $stamps
    SELECT
        toUInt64(user)                AS participant_id,
        sum(set_messages)             AS sent,
        uniqExactMerge(set_receivers) AS sent_to,
        $latest_attributes,
        $first_source AS source,
        toNullable(min(first_time))   AS first_seen_at
    FROM $message_actions_sets
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
        city, city_seen_at, exp_group, exp_group_seen_at, source, first_seen_at
    FROM senders
    UNION ALL
    SELECT
        participant_id, 0, 0, received, received_from,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM receivers
)
GROUP BY participant_id
