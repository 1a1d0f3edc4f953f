-- The messenger's events in [from, until), within one day of the product, created as in feed_events.sql. People write to a
-- few friends, and some people are friends of many.
INSERT INTO simulator.message_actions
    (user_id, receiver_id, time, gender, age, country, city, os, source, exp_group)
WITH
    hash -> hash / 18446744073709551615. AS uniform,
    dateDiff('second', {day_start:DateTime('UTC')}, {day_end:DateTime('UTC')}) / 86400 AS stretch,
    (SELECT groupArrayIf((begins, ends), kind = 'flash_mob') FROM simulator.scenario) AS flash_mobs,
    (SELECT groupArrayIf((begins, ends), kind = 'spike') FROM simulator.scenario) AS spikes,
    (times, instant) -> arrayExists(each -> instant >= each.1 AND instant < each.2, times) AS during,
    sessions AS
    (
        SELECT
            *,
            least(5, 1 + floor(-1.1 * log(uniform(cityHash64({seed:UInt32}, user_id, {day:Date}, 'chat'))))) AS times,
            arrayJoin(range(toUInt32(times))) AS session,
            cityHash64({seed:UInt32}, user_id, {day:Date}, session, 'chat') AS hash,
            1440 * uniform(hash) AS position,
            toUInt32(floor(position)) AS before,
            {quantiles:Array(UInt32)} AS seconds,
            {day_start:DateTime('UTC')} + toUInt32(stretch * (
                seconds[before + 1] + (position - before) * (seconds[before + 2] - seconds[before + 1]))) AS begins,
            least(60, 1 + toUInt32(-2.4 * log(uniform(cityHash64(hash, 'actions'))))) AS actions,
            15 + 50 * uniform(cityHash64(hash, 'pace')) AS seconds_between
        FROM simulator.active_people(seed = {seed:UInt32}, day = {day:Date})
        WHERE chats AND (feed_share = 0 OR uniform(cityHash64({seed:UInt32}, user_id, {day:Date}, 'writes')) < 0.6)
    )
SELECT
    user_id,
    toUInt32(friend + (friend = user_id)) AS receiver_id,
    moment AS time,
    gender, age, country, city, os, source, exp_group
FROM
(
    SELECT
        *,
        arrayJoin(range(actions)) AS number,
        begins + toUInt32(number * seconds_between) AS moment,
        -- In a flash mob people write three times as much, in a spike of spam five times.
        arrayJoin(range(toUInt32(multiIf(during(spikes, moment), 5, during(flash_mobs, moment), 3, 1)))) AS copy,
        cityHash64(hash, number, copy) % (2 + user_id % 4 + 20 * copy) AS friend_number,
        -- The most popular people have the lowest ids, from 1001 on.
        toUInt32(1001 + floor(6000 * pow(uniform(cityHash64({seed:UInt32}, user_id, friend_number)), 6))) AS friend
    FROM sessions
    -- The longest session takes 60 times 65 seconds.
    WHERE begins >= {from:DateTime('UTC')} - 4000 AND begins < {until:DateTime('UTC')}
)
WHERE moment >= {from:DateTime('UTC')} AND moment < {until:DateTime('UTC')}
