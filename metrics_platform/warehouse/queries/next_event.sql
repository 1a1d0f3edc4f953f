-- When the first event of a user in [from_time, until_time) happened, over both sources; no row: there is none. Sources
-- that are ordered by time are read up to that event alone.
SELECT toDateTime(assumeNotNull(time), 'UTC') AS event_time
FROM
(
    (
        SELECT time
        FROM {feed_database:Identifier}.{feed_table:Identifier}
        WHERE time >= {from_time:DateTime('UTC')} AND time < {until_time:DateTime('UTC')}
          AND user_id IS NOT NULL
        ORDER BY time LIMIT 1
    )
    UNION ALL
    (
        SELECT time
        FROM {messages_database:Identifier}.{messages_table:Identifier}
        WHERE time >= {from_time:DateTime('UTC')} AND time < {until_time:DateTime('UTC')}
          AND user_id IS NOT NULL AND {receiver_column:Identifier} IS NOT NULL
        ORDER BY time LIMIT 1
    )
)
ORDER BY event_time LIMIT 1
