-- The product's payments, as its billing writes them: other names and types than the platform's own sources have.
CREATE TABLE IF NOT EXISTS simulator.payments
(
    payment_id UUID                   COMMENT 'the attempt',
    customer   String                 COMMENT 'who paid, as text',
    paid_at    DateTime('UTC')        COMMENT 'when',
    status     LowCardinality(String) COMMENT 'ok or failed',
    amount     Decimal(10, 2)         COMMENT 'how much, in euros',
    plan_name  LowCardinality(String) COMMENT 'month, year or gift; - where it is not known',
    country    LowCardinality(String),
    os         LowCardinality(String)
)
ENGINE = MergeTree
PARTITION BY toDate(paid_at)
ORDER BY (paid_at, customer)
COMMENT 'Payments of the made-up product: one row per attempt'
