-- The floor: one scan of the day's events that only sums the columns which the day needs.
SELECT
    count(), sum(user_id), countIf(action = 'like'), sum(toUnixTimestamp(time)), sum(gender), sum(age),
    sum(length(country)), sum(length(city)), sum(length(os)), sum(length(source)), sum(exp_group)
FROM {database:Identifier}.feed_actions
WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
UNION ALL
SELECT
    count(), sum(user_id), sum(receiver_id), sum(toUnixTimestamp(time)), sum(gender), sum(age),
    sum(length(country)), sum(length(city)), sum(length(os)), sum(length(source)), sum(exp_group)
FROM {database:Identifier}.message_actions
WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
