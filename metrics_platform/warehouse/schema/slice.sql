-- The day sliced by one dimension: the sums of the merged table per value. Users whose value was never known are in
-- the slice `unknown`, so that no user is lost. Every dimension has a table of this shape, named `<dimension>_slice`.
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
ORDER BY dimension_value
COMMENT 'One row per day and value of one dimension';
