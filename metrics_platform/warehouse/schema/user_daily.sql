-- The merged table: one row per user and day over both services. Feed-only, messenger-only and receive-only users
-- are all included. A measure that does not apply is 0; `used_feed` and `used_messenger` say who used what. Attributes
-- come from the day's snapshot: a receiver's are its own, never the sender's.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    event_date        Date                             COMMENT 'the day, in the product''s time zone',
    user_id           UInt64                           COMMENT 'a user who did something in either service, or only received messages' CODEC(Delta, ZSTD(1)),
    views             Int64                            COMMENT 'posts viewed' CODEC(T64, Default),
    likes             Int64                            COMMENT 'posts liked' CODEC(T64, Default),
    messages_received Int64                            COMMENT 'messages received by the user' CODEC(T64, Default),
    messages_sent     Int64                            COMMENT 'messages sent by the user' CODEC(T64, Default),
    users_received    Int64                            COMMENT 'distinct users the user received from' CODEC(T64, Default),
    users_sent        Int64                            COMMENT 'distinct users the user sent to' CODEC(T64, Default),
    used_feed         Bool                             COMMENT 'the user made at least one feed action on the day',
    used_messenger    Bool                             COMMENT 'the user sent at least one message on the day',
    os                LowCardinality(Nullable(String)) COMMENT 'operating system in the snapshot of the day; NULL: never known',
    gender            LowCardinality(Nullable(String)) COMMENT 'gender in the snapshot of the day, male or female; NULL: never known',
    age               Nullable(Int32)                  COMMENT 'age in years in the snapshot of the day; NULL: never known' CODEC(T64, Default),
    age_group         LowCardinality(Nullable(String)) COMMENT 'age in classes: <18, 18-24, 25-34, 35-44, 45-54, 55+; NULL: never known',
    source            LowCardinality(Nullable(String)) COMMENT 'acquisition source of the user''s first event; NULL: not known',
    country           LowCardinality(Nullable(String)) COMMENT 'country in the snapshot of the day; NULL: never known',
    city              LowCardinality(Nullable(String)) COMMENT 'city in the snapshot of the day; NULL: never known',
    exp_group         Nullable(Int32)                  COMMENT 'experiment group in the snapshot of the day; NULL: never known' CODEC(T64, Default)
)
ENGINE = MergeTree
PARTITION BY event_date
ORDER BY user_id
COMMENT 'One row per user and day over both services';
