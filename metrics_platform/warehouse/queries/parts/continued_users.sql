-- The earlier snapshot, `known`, continued by `since`: the users with events after it, and what these events say. Days
-- are disjoint in time, so whatever `since` knows is later than anything in the earlier snapshot. Most users of that
-- snapshot were not active. They pass a join, which costs a third of grouping all users again. Both sides are merged in
-- the order in which they are stored, so it needs little memory however many users there are.
SELECT
    {event_date:Date}                                   AS event_date,
    user_id,
    coalesce(active.os, known.os)                       AS os,
    coalesce(active.gender, known.gender)               AS gender,
    coalesce(active.age, known.age)                     AS age,
    coalesce(active.country, known.country)             AS country,
    coalesce(active.city, known.city)                   AS city,
    coalesce(active.exp_group, known.exp_group)         AS exp_group,
    -- Known before: the source stays what it was, also where it was not known.
    if(is_known, known.source, active.source)           AS source,
    if(is_known, known.first_day, active.first_day)     AS first_day,
    if(is_active, active.last_day, known.last_active_day) AS last_active_day
FROM (SELECT *, true AS is_known FROM {earlier:Identifier} WHERE event_date = {previous_date:Date}) AS known
FULL JOIN (SELECT *, true AS is_active FROM since) AS active USING (user_id)
-- Without a partner a flag is false, and not NULL, whatever the account's profile says.
SETTINGS join_use_nulls = 0, join_algorithm = 'full_sorting_merge'
