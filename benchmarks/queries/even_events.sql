-- The given number of feed actions, spread evenly over [start, end): a product without nights.
INSERT INTO {database:Identifier}.feed_actions
    (user_id, post_id, action, time, gender, age, country, city, os, source, exp_group)
SELECT
    number * 7 % 50000 + 1, 1, if(number % 5 = 0, 'like', 'view'),
    {start:DateTime('UTC')} + toUInt32(number * dateDiff('second', {start:DateTime('UTC')}, {end:DateTime('UTC')}) / {rows:UInt64}),
    1, 25, ['Russia', 'Germany', 'Turkey'][number % 3 + 1], '', ['iOS', 'Android'][number % 2 + 1],
    ['ads', 'organic'][number % 2 + 1], 0
FROM numbers_mt({rows:UInt64})
SETTINGS max_partitions_per_insert_block = 1000
