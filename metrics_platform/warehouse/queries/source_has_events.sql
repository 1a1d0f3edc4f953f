-- Does each extract have events of the day to be made of?
SELECT
    exists(
        SELECT 1 FROM $feed_actions
        WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')} LIMIT 1) AS feed_user_daily,
    exists(
        SELECT 1 FROM $message_actions
        WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')} LIMIT 1) AS message_user_daily
