-- One view per person on a day before the first day, so that these people are not new later. The earliest day has
-- everyone who joined until then, the last four weeks have those who are active, and other days those who join.
INSERT INTO simulator.feed_actions
    (user_id, post_id, action, time, gender, age, country, city, os, source, exp_group)
SELECT
    user_id,
    toUInt32(100000 + hash % 50000) AS post_id,
    'view' AS action,
    {day_start:DateTime('UTC')} + toUInt32(hash % dateDiff('second', {day_start:DateTime('UTC')}, {day_end:DateTime('UTC')}))
        AS time,
    gender, age, country, city, os, source, exp_group
FROM
(
    SELECT *, cityHash64({seed:UInt32}, user_id, {day:Date}, 'earlier') AS hash
    FROM simulator.people
    WHERE multiIf(
        {day:Date} = {first_day:Date} - {earlier_days:UInt32}, joined <= {day:Date},
        {day:Date} < {first_day:Date} - 28, joined = {day:Date},
        user_id IN (SELECT user_id FROM simulator.active_people(seed = {seed:UInt32}, day = {day:Date})))
)
