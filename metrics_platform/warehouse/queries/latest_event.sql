-- The latest event of either source from first_slot on; NULL: there is none.
SELECT max(latest) AS latest
FROM
(
    SELECT maxOrNull(toDateTime(time, 'UTC')) AS latest
    FROM {feed_database:Identifier}.{feed_table:Identifier} WHERE time >= {first_slot:DateTime('UTC')}
    UNION ALL
    SELECT maxOrNull(toDateTime(time, 'UTC'))
    FROM {messages_database:Identifier}.{messages_table:Identifier} WHERE time >= {first_slot:DateTime('UTC')}
)
