-- The messenger's events, as the product writes them; attributes are the sender's. Created by `load` where it
-- does not exist, with the receiver column renamed to METRICS_RECEIVER_COLUMN where that is another.
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier}
(
    user_id     UInt32                 COMMENT 'who sent the message',
    receiver_id UInt32                 COMMENT 'who received it',
    time        DateTime('UTC')        COMMENT 'when',
    gender      Int8                   COMMENT 'of the sender: 1 male, 0 female, -1 not known',
    age         Int16                  COMMENT 'of the sender, in years; 0 not known',
    country     LowCardinality(String) COMMENT 'of the sender; empty: not known',
    city        LowCardinality(String) COMMENT 'of the sender; empty: not known',
    os          LowCardinality(String) COMMENT 'of the sender''s device: iOS or Android; empty: not known',
    source      LowCardinality(String) COMMENT 'how the sender was won: ads or organic; empty: not known',
    exp_group   Int8                   COMMENT 'experiment group of the sender; -1 not known'
)
ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY (time, user_id)
COMMENT 'Messenger events: one row per message sent';
