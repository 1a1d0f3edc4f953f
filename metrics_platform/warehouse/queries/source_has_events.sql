-- Whether the source of each extract has events in [from_time, until_time).
SELECT
    exists(
        SELECT 1 FROM $feed_actions
        WHERE time >= {from_time:DateTime('UTC')} AND time < {until_time:DateTime('UTC')} LIMIT 1) AS feed_user_daily,
    exists(
        SELECT 1 FROM $message_actions
        WHERE time >= {from_time:DateTime('UTC')} AND time < {until_time:DateTime('UTC')} LIMIT 1) AS message_user_daily
