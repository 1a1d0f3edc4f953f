-- The 15-minute metrics, for the whole product and by slice. Signed numbers, so that a difference of two slots
-- never wraps around. Partitioned by UTC day: a partition per slot would be 35 thousand parts a year.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    slot_start      DateTime('UTC')        COMMENT 'begin of the quarter of an hour',
    dimension       LowCardinality(String) COMMENT 'total for the whole product; os, source, country, …',
    dimension_value LowCardinality(String) COMMENT 'total for the whole product; iOS, ads, …, or unknown',
    views           Int64                  COMMENT 'views of content',
    likes           Int64                  COMMENT 'likes of content',
    feed_users      Int64                  COMMENT 'distinct users with a feed action',
    messages        Int64                  COMMENT 'messages sent',
    senders         Int64                  COMMENT 'distinct users who sent a message',
    ctr             Nullable(Float64)      COMMENT 'likes / views; NULL where there are no views'
)
ENGINE = MergeTree
PARTITION BY toDate(slot_start)
ORDER BY (dimension, dimension_value, slot_start)
COMMENT 'The 15-minute metrics: one row per slot, dimension and value, on a full grid'
