-- The given number of messages, spread evenly over [start, end).
INSERT INTO {database:Identifier}.message_actions
    (user_id, receiver_id, time, gender, age, country, city, os, source, exp_group)
SELECT
    number * 7 % 50000 + 1, number % 40000 + 1,
    {start:DateTime('UTC')} + toUInt32(number * dateDiff('second', {start:DateTime('UTC')}, {end:DateTime('UTC')}) / {rows:UInt64}),
    1, 25, ['Russia', 'Germany', 'Turkey'][number % 3 + 1], '', ['iOS', 'Android'][number % 2 + 1],
    ['ads', 'organic'][number % 2 + 1], 0
FROM numbers_mt({rows:UInt64})
SETTINGS max_partitions_per_insert_block = 1000
