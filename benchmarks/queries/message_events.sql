-- A day of the messenger: {messages} messages between the users of feed_events.sql, who are the same people here.
INSERT INTO {database:Identifier}.message_actions
    (user_id, receiver_id, time, gender, age, country, city, os, source, exp_group)
WITH
    cityHash64({seed:UInt32}, number, 'message') AS hash,
    toUInt32({users:UInt32} * pow((hash % 1000000007) / 1000000007, 1.7)) AS person,
    intHash64(person) AS trait
SELECT
    person + 1,
    intHash64(hash) % {users:UInt32} + 1,
    {day_start:DateTime('UTC')} + toUInt32(number * 86400 / {messages:UInt64}),
    trait % 2,
    14 + intDiv(trait, 2) % 50,
    ['Russia', 'Kazakhstan', 'Belarus', 'Turkey'][greatest(1, intDiv(trait, 100) % 12 - 7)],
    concat('City ', toString(intDiv(trait, 1000) % 200)),
    if(intDiv(trait, 7) % 3 = 0, 'iOS', 'Android'),
    if(intDiv(trait, 11) % 2 = 0, 'ads', 'organic'),
    intDiv(trait, 13) % 5
FROM numbers_mt({messages:UInt64})
