-- The people who are active on a day: a parameterised view for all kinds of events.
CREATE OR REPLACE VIEW simulator.active_people AS
WITH
    cityHash64({seed:UInt32}, {day:Date}, 'day') / 18446744073709551615. AS luck,
    -- Activity varies by 2.5 % from day to day, and is a little lower on Saturdays.
    (0.975 + 0.05 * luck) * [1., 1.01, 1.02, 1., 0.98, 0.95, 1.01][toDayOfWeek({day:Date})] AS mood,
    dateDiff('day', joined, {day:Date}) AS age_days,
    multiIf(
        age_days = 0, 1,
        cohort = 'base', habit * mood,
        cohort = 'campaign', 0.02,
        -- Most newcomers leave within a week and the rest within months, so that the product keeps its size.
        habit * mood * (0.25 * exp(-age_days / 30) + 0.7 * exp(-age_days / 5))) AS active_share
SELECT *
FROM simulator.people
WHERE joined <= {day:Date} AND cityHash64({seed:UInt32}, user_id, {day:Date}, 'active') / 18446744073709551615. < active_share
