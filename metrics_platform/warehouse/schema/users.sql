-- The users' snapshot at the end of the day: every user who ever made an event (in the feed, or as a sender), with
-- the latest *known* os, gender, age, country, city and experiment group, the `source` of the very first event, the
-- first day and the last active day.
--
-- Day D is the snapshot of D−1 plus D's own events, so days are computed in order. The first day starts from all
-- earlier events of the sources; the log of its run shows the progress. The snapshot gives receivers their own
-- attributes without reading history. New users, WAU, MAU and retention are computed from it.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    event_date      Date                             COMMENT 'the day at whose end the snapshot is taken',
    user_id         UInt64                           COMMENT 'a user who made an event up to the end of the day' CODEC(Delta, ZSTD(1)),
    os              LowCardinality(Nullable(String)) COMMENT 'latest known operating system; NULL: never known',
    gender          LowCardinality(Nullable(String)) COMMENT 'latest known gender, male or female; NULL: never known',
    age             Nullable(Int32)                  COMMENT 'latest known age in years; NULL: never known' CODEC(T64, Default),
    country         LowCardinality(Nullable(String)) COMMENT 'latest known country; NULL: never known',
    city            LowCardinality(Nullable(String)) COMMENT 'latest known city; NULL: never known',
    exp_group       Nullable(Int32)                  COMMENT 'latest known experiment group; NULL: never known' CODEC(T64, Default),
    source          LowCardinality(Nullable(String)) COMMENT 'acquisition source of the user''s very first event; NULL: not known',
    first_day       Date                             COMMENT 'the day of the user''s first event' CODEC(T64, Default),
    last_active_day Date                             COMMENT 'the latest day with an event of the user' CODEC(T64, Default)
)
ENGINE = MergeTree
PARTITION BY event_date
ORDER BY user_id
COMMENT 'One row per day and user who made an event up to the end of that day';
