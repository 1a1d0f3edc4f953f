-- What happens to the demo's product, in its past and by `metrics-platform demo --incident`: the truth behind its
-- charts. feed_events.sql and message_events.sql make the events by it.
CREATE TABLE IF NOT EXISTS simulator.scenario
(
    kind   LowCardinality(String) COMMENT 'campaign, flash_mob, cities; outage, spike, ctr, ios',
    begins DateTime('UTC'),
    ends   DateTime('UTC')        COMMENT 'the first second at which it is over'
)
ENGINE = MergeTree
ORDER BY begins
COMMENT 'What happens to the made-up product of `metrics-platform demo`'
