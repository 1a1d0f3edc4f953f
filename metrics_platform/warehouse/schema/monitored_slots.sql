-- The slots whose verdicts have been taken into the incidents: each once, in their order.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    slot_start     DateTime('UTC') COMMENT 'start of the slot',
    series         UInt32          COMMENT 'how many series had a verdict',
    anomalous      UInt32          COMMENT 'how many of them were anomalous',
    open_incidents UInt32          COMMENT 'how many incidents were open after it'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(slot_start)
ORDER BY slot_start
COMMENT 'The slots taken into the incidents'
