-- The 15-minute values of every metric, for the whole product and by slice, on a full grid.
-- Slots are inserted, never swapped: of two rows with the same key the one with the larger version is valid, so two
-- writers of a day never undo each other's slots. Read it with FINAL.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    event_date      Date                   COMMENT 'the day of the slot, in the product''s time zone',
    slot_start      DateTime('UTC')        COMMENT 'start of the 15-minute slot',
    metric          LowCardinality(String) COMMENT 'the metric''s name in the catalogue; <source>.events counts a source''s rows',
    dimension       LowCardinality(String) COMMENT 'total for the whole product; os, source, country, …',
    dimension_value LowCardinality(String) COMMENT 'total for the whole product; iOS, ads, …, unknown, or other: all beyond the largest',
    value           Nullable(Float64)      COMMENT 'the metric; NULL: unknown',
    numerator       Nullable(Float64)      COMMENT 'of a quotient its numerator; else the value',
    denominator     Nullable(Float64)      COMMENT 'of a quotient its denominator; else NULL',
    definition      UInt64                 COMMENT 'hash of the definition that the value was computed by',
    version         UInt64                 COMMENT 'when it was computed, in microseconds since 1970',
    is_deleted      UInt8                  COMMENT '1: the row is gone, since the slot was computed again'
)
ENGINE = ReplacingMergeTree(version, is_deleted)
PARTITION BY event_date
-- With the day in the key, FINAL merges each partition alone: ten times faster over a month.
ORDER BY (metric, dimension, dimension_value, event_date, slot_start)
-- ClickHouse merges a day into a single part once nothing has written it for two hours. It is then read faster.
SETTINGS min_age_to_force_merge_seconds = 7200, min_age_to_force_merge_on_partition_only = 1
COMMENT 'The 15-minute metrics: one row per slot, metric, dimension and value. Read it with FINAL'
