-- Retention by cohort: one row per day, first day and source, with the cohort's size and how many were active on
-- the day. `sum(active) / sum(users)` at `days_since = 7` is the D7 retention.
--
-- From the day's snapshot. It holds the cohorts of the last year, the 20 largest sources, and `other`.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    event_date Date                   COMMENT 'the day on which the cohort is measured',
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
