-- All people of the demo's product, also those who join later: attributes, first day, habits. feed_events.sql and
-- message_events.sql create events from this table.
CREATE TABLE IF NOT EXISTS simulator.people
(
    user_id      UInt32,
    joined       Date                   COMMENT 'the first day, on which the person is always active',
    cohort       LowCardinality(String) COMMENT 'base: joined before the demo begins; new; campaign: came through the advertising campaign',
    habit        Float32                COMMENT 'probability to be active on a day, once settled',
    feed_share   Float32                COMMENT 'share of the feed that they read, 1 on average; 0: messenger only',
    like_share   Float32                COMMENT 'probability that an action is a like',
    chats        UInt8                  COMMENT '1: uses the messenger',
    gender       Int8,
    age          Int16,
    country      LowCardinality(String),
    city         LowCardinality(String),
    os           LowCardinality(String),
    source       LowCardinality(String),
    exp_group    Int8
)
ENGINE = MergeTree
ORDER BY (joined, user_id)
COMMENT 'The made-up people of `metrics-platform demo`'
