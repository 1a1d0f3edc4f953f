-- A day of the feed: {events} actions of somewhat fewer than {users} users, each row a function of its number and the
-- seed. Attributes are those of the user; one user in fifty changes the device at noon.
INSERT INTO {database:Identifier}.feed_actions
    (user_id, post_id, action, time, gender, age, country, city, os, source, exp_group)
WITH
    cityHash64({seed:UInt32}, number) AS hash,
    -- Some come often, most now and then.
    toUInt32({users:UInt32} * pow((hash % 1000000007) / 1000000007, 1.7)) AS person,
    intHash64(person) AS trait
SELECT
    person + 1,
    hash % 5000,
    if(intDiv(hash, 1000000007) % 6 = 0, 'like', 'view'),
    {day_start:DateTime('UTC')} + toUInt32(number * 86400 / {events:UInt64}),
    trait % 2,
    14 + intDiv(trait, 2) % 50,
    ['Russia', 'Kazakhstan', 'Belarus', 'Turkey'][greatest(1, intDiv(trait, 100) % 12 - 7)],
    concat('City ', toString(intDiv(trait, 1000) % 200)),
    if((intDiv(trait, 7) % 3 = 0) != (person % 50 = 0 AND number * 2 > {events:UInt64}), 'iOS', 'Android'),
    if(intDiv(trait, 11) % 2 = 0, 'ads', 'organic'),
    intDiv(trait, 13) % 5
FROM numbers_mt({events:UInt64})
