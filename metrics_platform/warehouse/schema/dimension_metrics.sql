-- What Redash and Superset read: one row per day, dimension and value with exactly nine columns. Each measure has
-- the same sum over os, over gender and over age, equal to that of the source.
--
-- `users_sent` and `users_received` count each user's distinct counterparts, summed over the slice. `unknown` has the
-- users whose value was never known. Numbers are signed, so that a difference of two days never wraps around.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    event_date        Date   COMMENT 'the day, in the product''s time zone',
    dimension         String COMMENT 'what the users are sliced by: os, gender, age, or one of METRICS_EXTRA_DIMENSIONS',
    dimension_value   String COMMENT 'the slice: iOS, male or female, 25, …, or unknown',
    views             Int64  COMMENT 'views of content',
    likes             Int64  COMMENT 'likes of content',
    messages_received Int64  COMMENT 'messages received by the users of the slice',
    messages_sent     Int64  COMMENT 'messages sent by the users of the slice',
    users_received    Int64  COMMENT 'per user the distinct senders received from, summed over the slice',
    users_sent        Int64  COMMENT 'per user the distinct receivers sent to, summed over the slice'
)
ENGINE = MergeTree
PARTITION BY event_date
ORDER BY (dimension, dimension_value)
COMMENT 'The daily slices for BI: one row per day, dimension and value';
