-- What the detectors found, slot by slot: whether each metric was normal, for the whole product and by slice. Slots are
-- inserted with a version, as in `slot_metrics`. Read it with FINAL.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    event_date      Date                   COMMENT 'the day of the slot, in the product''s time zone',
    slot_start      DateTime('UTC')        COMMENT 'start of the 15-minute slot',
    metric          LowCardinality(String) COMMENT 'the metric''s name in the catalogue',
    dimension       LowCardinality(String) COMMENT 'total for the whole product; os, source, country, …',
    dimension_value LowCardinality(String) COMMENT 'total for the whole product; iOS, ads, …, or unknown',
    status          LowCardinality(String) COMMENT 'normal, anomalous, not_enough_history or unknown',
    severity        LowCardinality(String) COMMENT 'critical or warning if it is anomalous, else empty',
    reason          LowCardinality(String) COMMENT 'why, such as within_band, this_slot, last_hour, no_data',
    detector        LowCardinality(String) COMMENT 'the detector that computed the numbers',
    value           Nullable(Float64)      COMMENT 'the metric; NULL: unknown',
    trials          Nullable(Float64)      COMMENT 'of a quotient its denominator',
    expected        Nullable(Float64)      COMMENT 'the expected value',
    lower           Nullable(Float64)      COMMENT 'lower bound of the expected band',
    upper           Nullable(Float64)      COMMENT 'upper bound of the expected band',
    score           Nullable(Float64)      COMMENT 'the deviation, in the detector''s own unit',
    version         UInt64                 COMMENT 'when the slot was evaluated, in microseconds since 1970',
    is_deleted      UInt8                  COMMENT '1: the row is gone, since the slot was evaluated again'
)
ENGINE = ReplacingMergeTree(version, is_deleted)
PARTITION BY event_date
-- With the day in the key, FINAL merges each partition alone: ten times faster over a month.
ORDER BY (metric, dimension, dimension_value, event_date, slot_start)
-- ClickHouse merges a day into a single part once nothing has written it for two hours. It is then read faster.
SETTINGS min_age_to_force_merge_seconds = 7200, min_age_to_force_merge_on_partition_only = 1
COMMENT 'The verdict on each 15-minute metric: one row per slot, metric, dimension and value. Read it with FINAL'
