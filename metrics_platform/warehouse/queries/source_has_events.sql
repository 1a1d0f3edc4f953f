-- Does each extract have events of the day to be made of?
SELECT
    exists(
        SELECT 1 FROM {feed_database:Identifier}.{feed_table:Identifier}
        WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
          AND user_id IS NOT NULL LIMIT 1) AS feed_user_daily,
    exists(
        SELECT 1 FROM {messages_database:Identifier}.{messages_table:Identifier}
        WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
          AND user_id IS NOT NULL AND {receiver_column:Identifier} IS NOT NULL LIMIT 1) AS message_user_daily
