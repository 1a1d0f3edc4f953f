-- The feed's events, as the product writes them. Created by `load` where it does not exist.
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier}
(
    user_id   UInt32                 COMMENT 'who acted',
    post_id   UInt32                 COMMENT 'on which post',
    action    LowCardinality(String) COMMENT 'view or like',
    time      DateTime('UTC')        COMMENT 'when',
    gender    Int8                   COMMENT 'of the user: 1 male, 0 female, -1 not known',
    age       Int16                  COMMENT 'of the user, in years; 0 not known',
    country   LowCardinality(String) COMMENT 'of the user; empty: not known',
    city      LowCardinality(String) COMMENT 'of the user; empty: not known',
    os        LowCardinality(String) COMMENT 'of the user''s device: iOS or Android; empty: not known',
    source    LowCardinality(String) COMMENT 'how the user was won: ads or organic; empty: not known',
    exp_group Int8                   COMMENT 'experiment group of the user; -1 not known'
)
ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY (time, user_id)
COMMENT 'Feed events: one row per view or like';
