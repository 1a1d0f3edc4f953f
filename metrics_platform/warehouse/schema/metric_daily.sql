-- The value of the day of every metric of the catalogue, for the whole product and by slice. Distinct counts are
-- computed over the day. Days are inserted with a version, as in `slot_metrics`. Read it with FINAL.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    event_date      Date                   COMMENT 'the day, in the product''s time zone',
    metric          LowCardinality(String) COMMENT 'the metric''s name in the catalogue; <source>.events counts a source''s rows',
    dimension       LowCardinality(String) COMMENT 'total for the whole product; os, source, country, …',
    dimension_value LowCardinality(String) COMMENT 'total for the whole product; iOS, ads, …, unknown, or other: all beyond the largest',
    value           Nullable(Float64)      COMMENT 'the metric; NULL: unknown',
    numerator       Nullable(Float64)      COMMENT 'of a quotient its numerator; else the value',
    denominator     Nullable(Float64)      COMMENT 'of a quotient its denominator; else NULL',
    definition      UInt64                 COMMENT 'hash of the definition that the value was computed by',
    version         UInt64                 COMMENT 'when it was computed, in microseconds since 1970',
    is_deleted      UInt8                  COMMENT '1: the row is gone, since the day was computed again'
)
ENGINE = ReplacingMergeTree(version, is_deleted)
PARTITION BY event_date
-- FINAL compares rows across partitions, so the day is part of the key.
ORDER BY (metric, dimension, dimension_value, event_date)
COMMENT 'The metrics of the day: one row per day, metric, dimension and value. Read it with FINAL'
