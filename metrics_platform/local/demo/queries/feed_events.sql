-- The feed's events in [from, until), within one day of the product. They depend only on the seed, the day, the scenario
-- and the person, so any piece of a day can be created at any time.
--
-- A person has two sessions a day on average. `quantiles` distributes them over the day: the seconds by which each 1440th
-- of the day's sessions have begun.
INSERT INTO simulator.feed_actions
    (user_id, post_id, action, time, gender, age, country, city, os, source, exp_group)
WITH
    hash -> hash / 18446744073709551615. AS uniform,
    dateDiff('second', {day_start:DateTime('UTC')}, {day_end:DateTime('UTC')}) / 86400 AS stretch,
    (SELECT groupArrayIf((begins, ends), kind = 'outage') FROM simulator.scenario) AS outages,
    (SELECT groupArrayIf((begins, ends), kind = 'ios') FROM simulator.scenario) AS ios_outages,
    (SELECT groupArrayIf((begins, ends), kind = 'ctr') FROM simulator.scenario) AS likes_lost,
    (SELECT groupArrayIf((begins, ends), kind = 'cities') FROM simulator.scenario) AS city_outages,
    (times, instant) -> arrayExists(each -> instant >= each.1 AND instant < each.2, times) AS during,
    sessions AS
    (
        SELECT
            *,
            least(8, 1 + floor(-1.55 * log(uniform(cityHash64({seed:UInt32}, user_id, {day:Date}, 'feed'))))) AS times,
            arrayJoin(range(toUInt32(times))) AS session,
            cityHash64({seed:UInt32}, user_id, {day:Date}, session, 'feed') AS hash,
            1440 * uniform(hash) AS position,
            toUInt32(floor(position)) AS before,
            {quantiles:Array(UInt32)} AS seconds,
            {day_start:DateTime('UTC')} + toUInt32(stretch * (
                seconds[before + 1] + (position - before) * (seconds[before + 2] - seconds[before + 1]))) AS begins,
            least(150, 1 + toUInt32(-16.5 * feed_share * log(uniform(cityHash64(hash, 'actions'))))) AS actions,
            8 + 22 * uniform(cityHash64(hash, 'pace')) AS seconds_between,
            dateDiff('second', {day_start:DateTime('UTC')}, begins) / 3600 AS hour,
            like_share * (1 + 0.06 * sin(hour / 3.8)) AS like_share_now,
            200000 + 700 * (dateDiff('day', {first_day:Date}, {day:Date}) + hour / 24) AS newest_post
        FROM simulator.active_people(seed = {seed:UInt32}, day = {day:Date})
        WHERE feed_share > 0
    )
SELECT
    user_id,
    -- New posts appear every day, and people mostly read recent ones.
    toUInt32(newest_post + 900 * log((1 + action_hash % 65536) / 65536)) AS post_id,
    if(uniform(action_hash) < like_share_now, 'like', 'view') AS action,
    moment AS time,
    gender, age, country, city, os, source, exp_group
FROM
(
    SELECT
        *,
        arrayJoin(range(actions)) AS number,
        intHash64(hash + number) AS action_hash,
        begins + toUInt32(number * seconds_between) AS moment
    FROM sessions
    -- The longest session takes 150 times 30 seconds.
    WHERE begins >= {from:DateTime('UTC')} - 4600 AND begins < {until:DateTime('UTC')}
)
WHERE moment >= {from:DateTime('UTC')} AND moment < {until:DateTime('UTC')}
    -- In an outage, one session of twenty succeeds.
    AND NOT (during(outages, moment) AND hash % 20 > 0)
    AND NOT (os = 'iOS' AND during(ios_outages, moment) AND hash % 20 > 0)
    AND NOT (action = 'like' AND during(likes_lost, moment) AND intHash64(action_hash) % 10 < 6)
    AND NOT (city IN ('Novosibirsk', 'Krasnoyarsk', 'Omsk', 'Tomsk', 'Irkutsk') AND during(city_outages, moment))
