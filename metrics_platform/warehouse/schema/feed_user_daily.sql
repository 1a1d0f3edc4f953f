-- The feed's extract: one row per user with at least one feed action on the day, with `views` and `likes` and the
-- attributes in the user's rows (latest known os, gender, age, …).
--
-- From `feed_actions`, filtered by the day's instants in the product's time zone. `…_seen_at` is the time of the row
-- that a value was taken from: the users' snapshot compares it with the messenger's.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    event_date        Date                             COMMENT 'the day, in the product''s time zone',
    user_id           UInt64                           COMMENT 'a user with at least one feed action on the day',
    views             UInt64                           COMMENT 'posts viewed',
    likes             UInt64                           COMMENT 'posts liked',
    os                LowCardinality(Nullable(String)) COMMENT 'latest known operating system in the user''s rows; NULL: not known',
    os_seen_at        Nullable(DateTime('UTC'))        COMMENT 'when os was seen',
    gender            LowCardinality(Nullable(String)) COMMENT 'latest known gender, male or female; NULL: not known',
    gender_seen_at    Nullable(DateTime('UTC'))        COMMENT 'when gender was seen',
    age               Nullable(Int32)                  COMMENT 'latest known age in years; NULL: not known',
    age_seen_at       Nullable(DateTime('UTC'))        COMMENT 'when age was seen',
    country           LowCardinality(Nullable(String)) COMMENT 'latest known country; NULL: not known',
    country_seen_at   Nullable(DateTime('UTC'))        COMMENT 'when country was seen',
    city              LowCardinality(Nullable(String)) COMMENT 'latest known city; NULL: not known',
    city_seen_at      Nullable(DateTime('UTC'))        COMMENT 'when city was seen',
    exp_group         Nullable(Int32)                  COMMENT 'latest known experiment group; NULL: not known',
    exp_group_seen_at Nullable(DateTime('UTC'))        COMMENT 'when exp_group was seen',
    source            LowCardinality(Nullable(String)) COMMENT 'acquisition source in the user''s first row of the day; NULL: not known',
    first_seen_at     DateTime('UTC')                  COMMENT 'time of the user''s first row of the day'
)
ENGINE = MergeTree
PARTITION BY event_date
ORDER BY user_id
COMMENT 'One row per user and day with at least one feed action';
