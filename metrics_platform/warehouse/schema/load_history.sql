-- What was loaded from files, and what is being committed right now: the record by which an interrupted commit
-- is found and completed. A row is replaced by that of the next step.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    load_id        String                 COMMENT 'one run of the command',
    source         LowCardinality(String) COMMENT 'feed or messages',
    step           UInt8                  COMMENT '1 committing, 2 committed, 3 given up: nothing of it was loaded',
    changed_at     DateTime64(3, 'UTC')   COMMENT 'when the step was reached',
    file           String                 COMMENT 'the file, as it was named',
    sha256         FixedString(64)        COMMENT 'not used any more',
    content        String                 COMMENT 'fingerprint of its rows, whatever their order and the format',
    rows           UInt64                 COMMENT 'rows loaded',
    rejected       UInt64                 COMMENT 'rows rejected',
    first_time     DateTime('UTC')        COMMENT 'time of the earliest event',
    last_time      DateTime('UTC')        COMMENT 'time of the latest event',
    database       String                 COMMENT 'where to',
    target         String                 COMMENT 'the source table',
    staging        String                 COMMENT 'the staging table, in the same database',
    partition_ids  Array(String)          COMMENT 'partitions of the staging table',
    rows_before    Array(UInt64)          COMMENT 'rows that each had in the target before'
)
ENGINE = ReplacingMergeTree(step)
ORDER BY (load_id, source)
COMMENT 'Event files loaded by `metrics-platform load`: one row per load and kind of events';
