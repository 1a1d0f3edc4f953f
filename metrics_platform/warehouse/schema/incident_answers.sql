-- What people have answered to incidents, by `metrics-platform incidents`. Of an incident the latest answer counts.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    incident    String                 COMMENT 'the incident',
    answer      LowCardinality(String) COMMENT 'not_an_incident; or incident: the answer is taken back',
    answered_at DateTime('UTC')        COMMENT 'when it was given',
    answered_by String                 COMMENT 'who gave it',
    note        String                 COMMENT 'why',
    quiet_up_to Nullable(Float64)      COMMENT 'the incident''s largest deviation then; up to it, alerts are not sent'
)
ENGINE = ReplacingMergeTree(answered_at)
ORDER BY incident
COMMENT 'What people have answered to incidents'
