-- Payments in [from, until), within one day of the product, created as in feed_events.sql. One active person in seven buys
-- something, mostly a month.
INSERT INTO simulator.payments
    (payment_id, customer, paid_at, status, amount, plan_name, country, os)
WITH
    hash -> hash / 18446744073709551615. AS uniform,
    dateDiff('second', {day_start:DateTime('UTC')}, {day_end:DateTime('UTC')}) / 86400 AS stretch,
    (SELECT groupArrayIf((begins, ends), kind IN ('outage', 'payments')) FROM simulator.scenario) AS outages,
    (times, instant) -> arrayExists(each -> instant >= each.1 AND instant < each.2, times) AS during,
    payers AS
    (
        SELECT
            *,
            cityHash64({seed:UInt32}, user_id, {day:Date}, 'pays') AS hash,
            1440 * uniform(cityHash64(hash, 'when')) AS position,
            toUInt32(floor(position)) AS before,
            {quantiles:Array(UInt32)} AS seconds,
            {day_start:DateTime('UTC')} + toUInt32(stretch * (
                seconds[before + 1] + (position - before) * (seconds[before + 2] - seconds[before + 1]))) AS moment,
            ['month', 'month', 'month', 'month', 'month', 'year', 'gift', '-'][1 + cityHash64(hash, 'plan') % 8] AS bought
        FROM simulator.active_people(seed = {seed:UInt32}, day = {day:Date})
        WHERE uniform(hash) < 0.14
    )
SELECT
    reinterpretAsUUID(sipHash128(hash)) AS payment_id,
    concat('customer-', toString(user_id)) AS customer,
    moment AS paid_at,
    -- In an outage, one payment in twenty succeeds; otherwise one in thirty fails.
    if(if(during(outages, moment), hash % 20 > 0, hash % 30 = 0), 'failed', 'ok') AS status,
    toDecimal64(multiIf(bought = 'year', 79.0, bought = 'gift', 5 + hash % 20, 7.9), 2) AS amount,
    bought AS plan_name,
    country, os
FROM payers
WHERE moment >= {from:DateTime('UTC')} AND moment < {until:DateTime('UTC')}
