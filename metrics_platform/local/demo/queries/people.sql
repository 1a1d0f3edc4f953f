-- The people of the demo's product, derived from hashes of their numbers: the same seed gives the same people.
--
-- `newcomers` join on each day, beginning `earlier_days` before the first one. `base` people joined before that. The
-- campaign wins `campaign_users` on one day; very few of them return.
INSERT INTO simulator.people
    (user_id, cohort, joined, habit, feed_share, like_share, chats, gender, age, country, city, os, source, exp_group)
WITH
    salt -> cityHash64({seed:UInt32}, number, salt) / 18446744073709551615. AS random,
    -- The first of the names whose shares add up to more than the number.
    (names, shares, upto) -> names[greatest(1, arrayFirstIndex(share -> share > upto, arrayCumSum(shares)))] AS pick
SELECT
    toUInt32(number + 1001) AS user_id,
    multiIf(
        number < {base:UInt32}, 'base',
        number < {base:UInt32} + {newcomers:UInt32} * {horizon_days:UInt32}, 'new',
        'campaign') AS cohort,
    multiIf(
        cohort = 'base', {first_day:Date} - toInt32(1 + {earlier_days:UInt32} + 400 * random('joined')),
        cohort = 'new', {first_day:Date} - {earlier_days:UInt32} + toInt32(intDiv(number - {base:UInt32}, {newcomers:UInt32})),
        {campaign_day:Date}) AS joined,
    0.12 + 0.85 * pow(random('habit'), 1.3) AS habit,
    -- One in twenty-five only uses the messenger. Some read four times as much as others.
    if(random('feed') < 0.04, 0, 0.45 + 1.1 * pow(random('reads'), 1.5) + 0.9 * pow(random('reads'), 12)) AS feed_share,
    0.065 + 0.21 * random('likes') AS like_share,
    feed_share = 0 OR random('chats') < 0.16 AS chats,
    random('gender') < 0.55 AS gender,
    toInt16(if(random('older') < 0.05, 45 + 25 * random('age'), 14 + 31 * pow(random('age'), 1.5))) AS age,
    pick(
        ['Russia', 'Kazakhstan', 'Belarus', 'Azerbaijan', 'Armenia', 'Turkey', 'Finland', 'Estonia', 'Switzerland',
         'Cyprus'],
        [0.88, 0.03, 0.028, 0.018, 0.012, 0.01, 0.009, 0.006, 0.004, 0.003],
        random('country')) AS country,
    multiIf(
        country = 'Russia', pick(
            ['Moscow', 'Saint Petersburg', 'Novosibirsk', 'Yekaterinburg', 'Kazan', 'Nizhny Novgorod', 'Krasnoyarsk',
             'Chelyabinsk', 'Samara', 'Ufa', 'Rostov-on-Don', 'Omsk', 'Krasnodar', 'Voronezh', 'Perm', 'Volgograd',
             'Tomsk', 'Irkutsk', 'Barnaul', 'Vladivostok'],
            [0.18, 0.09, 0.07, 0.06, 0.055, 0.05, 0.05, 0.05, 0.05, 0.045, 0.045, 0.045, 0.04, 0.035, 0.035, 0.03,
             0.02, 0.02, 0.015, 0.015],
            random('city')),
        country = 'Kazakhstan', pick(['Almaty', 'Astana', 'Karaganda'], [0.55, 0.3, 0.15], random('city')),
        country = 'Belarus', pick(['Minsk', 'Gomel', 'Brest'], [0.6, 0.25, 0.15], random('city')),
        country = 'Turkey', pick(['Istanbul', 'Ankara'], [0.7, 0.3], random('city')),
        country = 'Azerbaijan', 'Baku',
        country = 'Armenia', 'Yerevan',
        country = 'Finland', 'Helsinki',
        country = 'Estonia', 'Tallinn',
        country = 'Switzerland', 'Zurich',
        'Limassol') AS city,
    if(random('os') < 0.65, 'Android', 'iOS') AS os,
    if(cohort = 'campaign' OR random('source') < 0.56, 'ads', 'organic') AS source,
    toInt8(5 * random('exp_group')) AS exp_group
FROM numbers({base:UInt32} + {newcomers:UInt32} * {horizon_days:UInt32} + {campaign_users:UInt32})
