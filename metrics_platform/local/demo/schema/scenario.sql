-- The incidents of the demo's product, in its past and by `metrics-platform demo --incident`. The queries that create
-- events follow it.
CREATE TABLE IF NOT EXISTS simulator.scenario
(
    kind   LowCardinality(String) COMMENT 'campaign, flash_mob, cities; outage, spike, ctr, ios, payments',
    begins DateTime('UTC'),
    ends   DateTime('UTC')        COMMENT 'the first second after it'
)
ENGINE = MergeTree
ORDER BY begins
COMMENT 'The incidents of the made-up product of `metrics-platform demo`'
