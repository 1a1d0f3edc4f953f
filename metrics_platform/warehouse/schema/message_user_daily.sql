-- The messenger's extract: one row per user who sent or received a message on the day. `messages_sent` went to
-- `users_sent` distinct receivers; `messages_received` came from `users_received` distinct senders. Users who only
-- received have no attributes here.
--
-- From `message_actions`, in parallel with the feed's extract.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    event_date        Date                             COMMENT 'the day, in the product''s time zone',
    user_id           UInt64                           COMMENT 'a user who sent or received at least one message on the day' CODEC(Delta, ZSTD(1)),
    messages_sent     UInt64                           COMMENT 'messages sent by the user' CODEC(T64, Default),
    users_sent        UInt64                           COMMENT 'distinct users the user sent to' CODEC(T64, Default),
    messages_received UInt64                           COMMENT 'messages received by the user' CODEC(T64, Default),
    users_received    UInt64                           COMMENT 'distinct users the user received from' CODEC(T64, Default),
    os                LowCardinality(Nullable(String)) COMMENT 'latest known operating system in the user''s rows; NULL: not known',
    os_seen_at        Nullable(DateTime('UTC'))        COMMENT 'when os was seen',
    gender            LowCardinality(Nullable(String)) COMMENT 'latest known gender, male or female; NULL: not known',
    gender_seen_at    Nullable(DateTime('UTC'))        COMMENT 'when gender was seen',
    age               Nullable(Int32)                  COMMENT 'latest known age in years; NULL: not known' CODEC(T64, Default),
    age_seen_at       Nullable(DateTime('UTC'))        COMMENT 'when age was seen',
    country           LowCardinality(Nullable(String)) COMMENT 'latest known country; NULL: not known',
    country_seen_at   Nullable(DateTime('UTC'))        COMMENT 'when country was seen',
    city              LowCardinality(Nullable(String)) COMMENT 'latest known city; NULL: not known',
    city_seen_at      Nullable(DateTime('UTC'))        COMMENT 'when city was seen',
    exp_group         Nullable(Int32)                  COMMENT 'latest known experiment group; NULL: not known' CODEC(T64, Default),
    exp_group_seen_at Nullable(DateTime('UTC'))        COMMENT 'when exp_group was seen',
    source            LowCardinality(Nullable(String)) COMMENT 'acquisition source in the user''s first row of the day; NULL: not known, or only received',
    first_seen_at     Nullable(DateTime('UTC'))        COMMENT 'time of the user''s first message sent on the day; NULL: only received'
)
ENGINE = MergeTree
PARTITION BY event_date
ORDER BY user_id
COMMENT 'One row per user and day with at least one message sent or received';
