-- Incidents: each as it stood after every slot in which it was open or changed. The latest row of an incident is how
-- it stands now. A slot that is taken in again after a crash writes the same rows, which replace the first.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    slot_start      DateTime('UTC')           COMMENT 'start of the slot after which it was in this state',
    incident        String                    COMMENT 'its id, five letters and digits',
    metric          LowCardinality(String)    COMMENT 'the metric''s name in the catalogue',
    dimension       LowCardinality(String)    COMMENT 'total for the whole product; os, source, country, …',
    dimension_value LowCardinality(String)    COMMENT 'total for the whole product; iOS, ads, …, or unknown',
    state           LowCardinality(String)    COMMENT 'open, resolved, or expired: not evaluated for a day',
    change          LowCardinality(String)    COMMENT 'the reason for its last change, such as opened, worsened, back_in_band',
    direction       LowCardinality(String)    COMMENT 'up or down',
    severity        LowCardinality(String)    COMMENT 'the worst so far: critical or warning',
    opened_at       DateTime('UTC')           COMMENT 'start of the first anomalous slot',
    last_at         DateTime('UTC')           COMMENT 'start of the last anomalous slot',
    closed_at       Nullable(DateTime('UTC')) COMMENT 'start of the first slot back in the band; NULL: open',
    calm            UInt16                    COMMENT 'how many slots in a row have been normal',
    needed          UInt16                    COMMENT 'how many of them end the incident',
    worst_change    Nullable(Float64)         COMMENT 'the largest deviation, a share of the expected',
    worst_at        Nullable(DateTime('UTC')) COMMENT 'start of the slot with it',
    folded_into     String                    COMMENT 'what is notified instead of it: the id of another incident, "stale" and the source, "muted", or "answered" and an id; empty: nothing',
    message         String                    COMMENT 'the notification about it; empty: none was sent',
    told_at         Nullable(DateTime('UTC')) COMMENT 'start of the slot at which it was notified',
    reminders       UInt16                    COMMENT 'number of reminders sent',
    cleared         Bool                      COMMENT 'whether its end was notified'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(slot_start)
ORDER BY (slot_start, incident)
COMMENT 'Incidents, slot by slot: from opening to all-clear'
