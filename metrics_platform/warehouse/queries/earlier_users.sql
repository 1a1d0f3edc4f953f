-- The users' snapshot before the first day, continued by the events of [day_start, day_end), whose last day is
-- event_date. `earlier` has it as of previous_date, or is empty.
--
-- These events are later than all before them, so whatever they know is newer. Who was known before passes a join of
-- sorted sides, as in users.sql, so that memory does not grow with the number of users.
WITH
stretch AS
(
    WITH
        $stamps,
        -- The product's day of an instant: `starts` are the beginnings of the days `dates`.
        instant -> {dates:Array(Date)}[arrayLastIndex(
            start -> start <= toUnixTimestamp(instant), {starts:Array(UInt32)})] AS day_of
    SELECT
        id                     AS user_id,
        true                   AS is_active,
        $latest_attributes,
        -- Of the first event: the earlier, the greater; in the same second the feed's, then the greatest.
        substring(max(concat(
            ten_digits(4294967295 - toUnixTimestamp(first_time)), service, ifNull(known_source, ''))), 12) AS first_source,
        day_of(min(first_time)) AS new_first_day,
        day_of(max(last_time))  AS new_last_day
    FROM
    (
        SELECT
            '1' AS service, toUInt64(user) AS id, first_time, last_time,
            known_os, known_gender, known_age, known_country, known_city, known_exp_group, known_source
        FROM $feed_actions_sets
        UNION ALL
        SELECT
            '0' AS service, toUInt64(user) AS id, first_time, last_time,
            known_os, known_gender, known_age, known_country, known_city, known_exp_group, known_source
        FROM $message_actions_sets
    )
    GROUP BY id
)
SELECT
    {event_date:Date}                                        AS event_date,
    user_id,
    coalesce(stretch.os, known.os)                           AS os,
    coalesce(stretch.gender, known.gender)                   AS gender,
    coalesce(stretch.age, known.age)                         AS age,
    coalesce(stretch.country, known.country)                 AS country,
    coalesce(stretch.city, known.city)                       AS city,
    coalesce(stretch.exp_group, known.exp_group)             AS exp_group,
    if(is_known, known.source, nullIf(first_source, ''))     AS source,
    if(is_known, known.first_day, new_first_day)             AS first_day,
    if(is_active, new_last_day, known.last_active_day)       AS last_active_day
FROM
(
    SELECT *, true AS is_known
    FROM {earlier:Identifier}
    WHERE event_date = {previous_date:Date}
) AS known
FULL JOIN stretch USING (user_id)
-- Without a partner a flag is false, and not NULL, whatever the account's profile says.
SETTINGS join_use_nulls = 0, join_algorithm = 'full_sorting_merge'
