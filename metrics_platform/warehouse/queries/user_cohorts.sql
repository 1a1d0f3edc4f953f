-- The cohorts of the last year as they are on a day, from the day's snapshot of all users.
WITH
-- Sources come with the events: the number of cohorts must not grow with them.
largest_sources AS
(
    SELECT ifNull(source, 'unknown') AS name
    FROM users
    WHERE event_date = {event_date:Date} AND first_day > {event_date:Date} - 366
    GROUP BY name
    ORDER BY count() DESC, name
    LIMIT 20
)
SELECT
    {event_date:Date}                                                                       AS event_date,
    users.first_day                                                                         AS first_day,
    toInt32({event_date:Date} - users.first_day)                                            AS days_since,
    if(ifNull(users.source, 'unknown') IN largest_sources, ifNull(users.source, 'unknown'), 'other') AS source,
    toInt64(count())                                                                        AS users,
    toInt64(countIf(users.last_active_day = {event_date:Date}))                             AS active
FROM users
WHERE users.event_date = {event_date:Date} AND users.first_day > {event_date:Date} - 366
GROUP BY users.first_day, source
