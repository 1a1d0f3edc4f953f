-- {known} people who came before and not on the two days: a product that is some months old knows many times as many as
-- come on a day, and the snapshot of each day continues all of them.
INSERT INTO users
    (event_date, user_id, os, gender, age, country, city, exp_group, source, first_day, last_active_day)
SELECT
    {date:Date},
    4000000000 + number,
    if(number % 3 = 0, 'iOS', 'Android'),
    if(number % 2 = 0, 'male', 'female'),
    14 + number % 50,
    'Russia',
    concat('City ', toString(number % 200)),
    number % 5,
    if(number % 7 < 4, 'ads', 'organic'),
    {date:Date} - 20 - number % 300,
    {date:Date} - 10 - number % 7
FROM numbers_mt({known:UInt64})
