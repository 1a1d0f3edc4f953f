-- Who comes back: for the users who began on each day, how many there are and how many were active on `event_date`.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    event_date Date                   COMMENT 'the day on which the cohort is looked at',
    first_day  Date                   COMMENT 'the day of the users'' first event: the cohort',
    days_since Int32                  COMMENT 'event_date - first_day, 0 to 365',
    source     LowCardinality(String) COMMENT 'acquisition source of the first event; unknown, or other beyond the 20 largest',
    users      Int64                  COMMENT 'users of the cohort',
    active     Int64                  COMMENT 'of these: active on event_date, in the feed or as a sender'
)
ENGINE = MergeTree
PARTITION BY event_date
ORDER BY (first_day, source)
COMMENT 'Retention by cohort: one row per day, first day (of the last year) and source'
