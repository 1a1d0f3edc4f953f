-- The feed's extract: one row per user with at least one feed action on the day, with `views` and `likes` and the
-- attributes in the user's rows (latest known os, gender, age, …).
--
-- From `feed_actions`, filtered by the day's instants in the product's time zone. `…_seen_at` is the time of the row
-- that a value was taken from: the users' snapshot compares it with the messenger's.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    event_date        Date                             COMMENT 'the day, in the product''s time zone',
    user_id           UInt64                           COMMENT 'a user with at least one feed action on the day' CODEC(Delta, ZSTD(1)),
    views             UInt64                           COMMENT 'posts viewed' CODEC(T64, Default),
    likes             UInt64                           COMMENT 'posts liked' CODEC(T64, Default),
    os                LowCardinality(Nullable(String)) COMMENT 'latest known operating system in the user''s rows; NULL: not known',
    os_seen_at        Nullable(DateTime('UTC'))        COMMENT 'when os was seen' CODEC(T64, Default),
    gender            LowCardinality(Nullable(String)) COMMENT 'latest known gender, male or female; NULL: not known',
    gender_seen_at    Nullable(DateTime('UTC'))        COMMENT 'when gender was seen' CODEC(T64, Default),
    age               Nullable(Int32)                  COMMENT 'latest known age in years; NULL: not known' CODEC(T64, Default),
    age_seen_at       Nullable(DateTime('UTC'))        COMMENT 'when age was seen' CODEC(T64, Default),
    country           LowCardinality(Nullable(String)) COMMENT 'latest known country; NULL: not known',
    country_seen_at   Nullable(DateTime('UTC'))        COMMENT 'when country was seen' CODEC(T64, Default),
    city              LowCardinality(Nullable(String)) COMMENT 'latest known city; NULL: not known',
    city_seen_at      Nullable(DateTime('UTC'))        COMMENT 'when city was seen' CODEC(T64, Default),
    exp_group         Nullable(Int32)                  COMMENT 'latest known experiment group; NULL: not known' CODEC(T64, Default),
    exp_group_seen_at Nullable(DateTime('UTC'))        COMMENT 'when exp_group was seen' CODEC(T64, Default),
    source            LowCardinality(Nullable(String)) COMMENT 'acquisition source in the user''s first row of the day; NULL: not known',
    first_seen_at     DateTime('UTC')                  COMMENT 'time of the user''s first row of the day' CODEC(T64, Default)
)
ENGINE = MergeTree
PARTITION BY event_date
ORDER BY user_id
COMMENT 'One row per user and day with at least one feed action';
