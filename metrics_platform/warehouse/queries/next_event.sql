-- When the first event of a user in [from_time, until_time) happened, over both sources; NULL: there is none. Sources that
-- are ordered by time are read up to that event alone.
SELECT minOrNull(toDateTime(time, 'UTC')) AS event_time
FROM
(
    (SELECT time FROM $feed_actions
     WHERE time >= {from_time:DateTime('UTC')} AND time < {until_time:DateTime('UTC')} ORDER BY time LIMIT 1)
    UNION ALL
    (SELECT time FROM $message_actions
     WHERE time >= {from_time:DateTime('UTC')} AND time < {until_time:DateTime('UTC')} ORDER BY time LIMIT 1)
)
