-- {active} users of the day: spread evenly over those who are known, and every 25th of them new.
INSERT INTO feed_user_daily
    (event_date, user_id, views, likes, os, os_seen_at, gender, gender_seen_at, age, age_seen_at, country,
     country_seen_at, city, city_seen_at, exp_group, exp_group_seen_at, source, first_seen_at)
WITH toDateTime({date:Date}, 'UTC') + number % 86400 AS seen_at
SELECT
    {date:Date},
    4000000000 + number * intDiv({known:UInt64}, {active:UInt64}) + if(number % 25 = 0, {known:UInt64}, 0),
    28, 5,
    if(number % 3 = 0, 'iOS', 'Android'), seen_at,
    if(number % 2 = 0, 'male', 'female'), seen_at,
    14 + number % 50, seen_at,
    'Russia', seen_at,
    concat('City ', toString(number % 200)), seen_at,
    number % 5, seen_at,
    if(number % 7 < 4, 'ads', 'organic'), seen_at
FROM numbers_mt({active:UInt64})
