-- Is the users' snapshot of the day before there, and if not, should it be?
SELECT
    (SELECT count() FROM users WHERE event_date = {previous_date:Date}) > 0              AS has_snapshot,
    (SELECT count() FROM users WHERE event_date < {previous_date:Date}) > 0              AS has_earlier_snapshot,
    (SELECT max(event_date) FROM users WHERE event_date < {previous_date:Date})          AS latest_snapshot,
    exists(
        SELECT 1 FROM {feed_database:Identifier}.{feed_table:Identifier}
        WHERE time >= {history_start:DateTime('UTC')} AND time < {day_start:DateTime('UTC')} LIMIT 1)
    OR exists(
        SELECT 1 FROM {messages_database:Identifier}.{messages_table:Identifier}
        WHERE time >= {history_start:DateTime('UTC')} AND time < {day_start:DateTime('UTC')} LIMIT 1) AS has_earlier_events
