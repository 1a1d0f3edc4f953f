-- {rows} feed actions of at most {users} users, spread over [start, end). Attributes are those of the user.
INSERT INTO {database:Identifier}.feed_actions
    (user_id, post_id, action, time, gender, age, country, city, os, source, exp_group)
WITH
    cityHash64(number) AS hash,
    toUInt32(hash % {users:UInt32}) AS person,
    intHash64(person) AS trait
SELECT
    person + 1,
    hash % 5000,
    if(intDiv(hash, 1000000007) % 6 = 0, 'like', 'view'),
    {start:DateTime('UTC')} + toUInt32(number * dateDiff('second', {start:DateTime('UTC')}, {end:DateTime('UTC')}) / {rows:UInt64}),
    trait % 2,
    14 + intDiv(trait, 2) % 50,
    ['Russia', 'Kazakhstan', 'Belarus', 'Turkey'][greatest(1, intDiv(trait, 100) % 12 - 7)],
    concat('City ', toString(intDiv(trait, 1000) % {cities:UInt32})),
    if(intDiv(trait, 7) % 3 = 0, 'iOS', 'Android'),
    if(intDiv(trait, 11) % 2 = 0, 'ads', 'organic'),
    intDiv(trait, 13) % 5
FROM numbers_mt({rows:UInt64})
