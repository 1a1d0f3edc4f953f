-- Incidents: each as it stood after every slot in which it was open or changed. The latest row of an incident is how
-- it stands now. A slot that is taken in again after a crash writes the same rows, which replace the first.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    slot_start      DateTime('UTC')           COMMENT 'begin of the slot after which it stood like this',
    incident        String                    COMMENT 'its id, five letters and digits',
    metric          LowCardinality(String)    COMMENT 'the metric''s name in the catalogue',
    dimension       LowCardinality(String)    COMMENT 'total for the whole product; os, source, country, …',
    dimension_value LowCardinality(String)    COMMENT 'total for the whole product; iOS, ads, …, or unknown',
    state           LowCardinality(String)    COMMENT 'open, resolved, or expired: not judged for a day',
    change          LowCardinality(String)    COMMENT 'why it stands like this, such as opened, calm, back_in_band',
    direction       LowCardinality(String)    COMMENT 'up or down',
    severity        LowCardinality(String)    COMMENT 'the worst so far: critical or warning',
    opened_at       DateTime('UTC')           COMMENT 'begin of the first anomalous slot',
    last_at         DateTime('UTC')           COMMENT 'begin of the last anomalous slot',
    closed_at       Nullable(DateTime('UTC')) COMMENT 'begin of the first slot back in the band; NULL: open',
    calm            UInt16                    COMMENT 'how many slots in a row have been normal',
    needed          UInt16                    COMMENT 'after how many it is over',
    worst_change    Nullable(Float64)         COMMENT 'the largest deviation, a share of the expected',
    worst_at        Nullable(DateTime('UTC')) COMMENT 'begin of the slot with it',
    folded_into     String                    COMMENT 'the total''s incident it is a part of, or «stale» and the source without events; empty: none',
    message         String                    COMMENT 'the notification that tells of it; empty: nobody was told',
    told_at         Nullable(DateTime('UTC')) COMMENT 'begin of the slot at which people were told',
    reminders       UInt16                    COMMENT 'how often people were reminded',
    cleared         Bool                      COMMENT 'people were told that it is over'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(slot_start)
ORDER BY (slot_start, incident)
COMMENT 'Incidents, slot by slot: from opening to all-clear'
