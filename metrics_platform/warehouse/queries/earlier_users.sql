-- The users' snapshot before the first day, continued by the events of [from_time, until_time), whose last day is
-- event_date. `earlier` has it as of previous_date, or is empty.
--
-- These events are later than all before them, so whatever they know is newer. They are folded into attribute sets first,
-- as in the extracts; who was known before passes a join of sorted sides, as in users.sql, so that memory does not grow
-- with the number of users.
WITH
    -- Stamps as in the extracts: the greatest is the latest value, and of several in one second the greatest.
    (seen_at, value) -> concat(toString(seen_at), value)                     AS stamp,
    stamped -> substring(stamped, 20)                                        AS value_of,
    number -> leftPad(toString(number), 10, '0')                             AS padded,
    -- The product's day of an instant: `starts` are the beginnings of the days `dates`.
    instant -> {dates:Array(Date)}[arrayLastIndex(
        start -> start <= toUnixTimestamp(instant), {starts:Array(UInt32)})] AS day_of,
attribute_sets AS
(
    SELECT *, '1' AS service
    FROM
    (
        SELECT
            toUInt64(user)   AS id,
            $known_os        AS known_os,
            $known_gender    AS known_gender,
            $known_age       AS known_age,
            $known_country   AS known_country,
            $known_city      AS known_city,
            $known_exp_group AS known_exp_group,
            $known_source    AS known_source,
            toDateTime(min(time), 'UTC') AS first_time,
            toDateTime(max(time), 'UTC') AS last_time
        FROM $feed_actions
        WHERE time >= {from_time:DateTime('UTC')} AND time < {until_time:DateTime('UTC')}
        GROUP BY $feed_actions_keys
    )
    UNION ALL
    SELECT *, '0' AS service
    FROM
    (
        SELECT
            toUInt64(user)   AS id,
            $known_os        AS known_os,
            $known_gender    AS known_gender,
            $known_age       AS known_age,
            $known_country   AS known_country,
            $known_city      AS known_city,
            $known_exp_group AS known_exp_group,
            $known_source    AS known_source,
            toDateTime(min(time), 'UTC') AS first_time,
            toDateTime(max(time), 'UTC') AS last_time
        FROM $message_actions
        WHERE time >= {from_time:DateTime('UTC')} AND time < {until_time:DateTime('UTC')}
        GROUP BY $message_actions_keys
    )
),
stamped_sets AS
(
    SELECT
        id, first_time, last_time,
        stamp(last_time, known_os)                                                AS stamped_os,
        stamp(last_time, known_gender)                                            AS stamped_gender,
        stamp(last_time, if(known_age >= 0, padded(known_age), NULL))             AS stamped_age,
        stamp(last_time, known_country)                                           AS stamped_country,
        stamp(last_time, known_city)                                              AS stamped_city,
        stamp(last_time, if(known_exp_group >= 0, padded(known_exp_group), NULL)) AS stamped_exp_group,
        concat(padded(4294967295 - toUnixTimestamp(first_time)), service, ifNull(known_source, '')) AS stamped_source
    FROM attribute_sets
),
stretch AS
(
    SELECT
        id                                        AS user_id,
        true                                      AS is_active,
        value_of(max(stamped_os))                 AS new_os,
        value_of(max(stamped_gender))             AS new_gender,
        toInt32(value_of(max(stamped_age)))       AS new_age,
        value_of(max(stamped_country))            AS new_country,
        value_of(max(stamped_city))               AS new_city,
        toInt32(value_of(max(stamped_exp_group))) AS new_exp_group,
        -- Of the first event: the earlier, the greater; in the same second the feed's, then the greatest.
        substring(max(stamped_source), 12)        AS new_source,
        day_of(min(first_time))                   AS new_first_day,
        day_of(max(last_time))                    AS new_last_day
    FROM stamped_sets
    GROUP BY id
)
SELECT
    {event_date:Date}                                                AS event_date,
    user_id,
    coalesce(new_os, known.os)                                       AS os,
    coalesce(new_gender, known.gender)                               AS gender,
    coalesce(new_age, known.age)                                     AS age,
    coalesce(new_country, known.country)                             AS country,
    coalesce(new_city, known.city)                                   AS city,
    coalesce(new_exp_group, known.exp_group)                         AS exp_group,
    if(is_known, known.source, nullIf(new_source, ''))               AS source,
    if(is_known, known.first_day, new_first_day)                     AS first_day,
    if(is_active, new_last_day, known.last_active_day)               AS last_active_day
FROM
(
    SELECT *, true AS is_known
    FROM {earlier:Identifier}
    WHERE event_date = {previous_date:Date}
) AS known
FULL JOIN stretch USING (user_id)
-- Without a partner a flag is false, and not NULL, whatever the account's profile says.
SETTINGS join_use_nulls = 0, join_algorithm = 'full_sorting_merge'
