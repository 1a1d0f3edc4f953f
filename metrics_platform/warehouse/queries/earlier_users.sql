-- The users' snapshot before the first day, continued by the events of [day_start, day_end), whose last day is
-- event_date. `earlier` has it as of previous_date, or is empty.
WITH
since AS
(
    WITH
        $stamps,
        -- The product's day of an instant: `starts` are the beginnings of the days `dates`.
        instant -> {dates:Array(Date)}[arrayLastIndex(
            start -> start <= toUnixTimestamp(instant), {starts:Array(UInt32)})] AS day_of
    SELECT
        id                     AS user_id,
        $latest_attributes,
        -- Of the first event: the earlier, the greater; in the same second the feed's, then the greatest.
        nullIf(substring(max(concat(ten_digits(4294967295 - toUnixTimestamp(first_time)), service,
                                    ifNull(known_source, ''))), 12), '') AS source,
        day_of(min(first_time)) AS first_day,
        day_of(max(last_time))  AS last_day
    FROM
    (
        SELECT '1' AS service, toUInt64(user) AS id, * EXCEPT (user, set_views, set_likes) FROM $feed_actions_sets
        UNION ALL
        SELECT '0' AS service, toUInt64(user) AS id, * EXCEPT (user, set_messages, set_receivers) FROM $message_actions_sets
    )
    GROUP BY id
)
-- The earlier snapshot, `known`, continued by `since`: the users with events after it, and what these events say. Days
-- are disjoint in time, so whatever `since` knows is later than anything in the earlier snapshot. Most users of that
-- snapshot were not active. They pass a join, which costs a third of grouping all users again. Both sides are merged in
-- the order in which they are stored, so it needs little memory however many users there are.
SELECT
    {event_date:Date} AS event_date,
    user_id,
    $continued_attributes,
    if(is_active, active.last_day, known.last_active_day) AS last_active_day
FROM (SELECT *, true AS is_known FROM {earlier:Identifier} WHERE event_date = {previous_date:Date}) AS known
FULL JOIN (SELECT *, true AS is_active FROM since) AS active USING (user_id)
-- Without a partner a flag is false, and not NULL, whatever the account's profile says.
SETTINGS join_use_nulls = 0, join_algorithm = 'full_sorting_merge'
