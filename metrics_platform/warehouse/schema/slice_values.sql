-- Which values of a dimension are slices of their own on a day; all others are `other`. Stored, so that a day that is
-- computed again has the same slices.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    event_date      Date                   COMMENT 'the day, in the product''s time zone',
    source          LowCardinality(String) COMMENT 'the source, by its name in the catalogue',
    dimension       LowCardinality(String) COMMENT 'os, source, country, …',
    definition      UInt64                 COMMENT 'hash of the source''s definition: of another one there are other values',
    dimension_value String                 COMMENT 'a value that is a slice of its own on the day'
)
ENGINE = ReplacingMergeTree
PARTITION BY event_date
ORDER BY (event_date, source, dimension, definition, dimension_value)
COMMENT 'The slices of each day: one row per source, dimension and value'
