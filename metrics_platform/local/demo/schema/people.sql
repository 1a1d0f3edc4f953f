-- Everybody the demo's product has or will have: who they are, when they join, how often they come. Events are made
-- of this table by feed_events.sql and message_events.sql.
CREATE TABLE IF NOT EXISTS simulator.people
(
    user_id      UInt32,
    joined       Date                   COMMENT 'the first day, on which everybody is active',
    cohort       LowCardinality(String) COMMENT 'base: there before the demo begins; new; campaign: came by the advertising campaign',
    habit        Float32                COMMENT 'probability to be active on a day, once settled',
    feed_share   Float32                COMMENT 'how much of the feed they read, 1 on the average; 0: only the messenger',
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
