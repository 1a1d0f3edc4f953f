-- What the detectors found, slot by slot: whether each metric was normal, for the whole product and by slice.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    slot_start      DateTime('UTC')        COMMENT 'begin of the quarter of an hour',
    metric          LowCardinality(String) COMMENT 'feed_users, views, likes, ctr, messages, senders',
    dimension       LowCardinality(String) COMMENT 'total for the whole product; os, source, country, …',
    dimension_value LowCardinality(String) COMMENT 'total for the whole product; iOS, ads, …, or unknown',
    status          LowCardinality(String) COMMENT 'normal, anomalous, not_enough_history or unknown',
    severity        LowCardinality(String) COMMENT 'critical or warning where it is anomalous, else empty',
    reason          LowCardinality(String) COMMENT 'why, such as within_band, this_slot, last_hour, no_data',
    detector        LowCardinality(String) COMMENT 'which detector the numbers are of',
    value           Nullable(Float64)      COMMENT 'the metric; NULL: not known',
    trials          Nullable(Float64)      COMMENT 'of a rate its denominator',
    expected        Nullable(Float64)      COMMENT 'what was expected',
    lower           Nullable(Float64)      COMMENT 'the band it should have been in: from',
    upper           Nullable(Float64)      COMMENT 'the band it should have been in: to',
    score           Nullable(Float64)      COMMENT 'the deviation in the unit of the detector'
)
ENGINE = MergeTree
PARTITION BY toDate(slot_start)
ORDER BY (metric, dimension, dimension_value, slot_start)
COMMENT 'The verdict on each 15-minute metric: one row per slot, metric, dimension and value'
