-- One dimension's slices of the day, from the merged table. Unknown values are a slice of their own, so that
-- no user is dropped and every dimension adds up to the same sums.
SELECT
    event_date,
    {dimension:String}                                          AS dimension,
    ifNull(toString({dimension_column:Identifier}), 'unknown')  AS dimension_value,
    sum(views), sum(likes),
    sum(messages_received), sum(messages_sent),
    sum(users_received), sum(users_sent)
FROM user_daily
WHERE event_date = {event_date:Date}
GROUP BY event_date, dimension_value
