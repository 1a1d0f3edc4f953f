-- Is the users' snapshot of a day there, and if not, should it be?
SELECT
    (SELECT count() FROM users WHERE event_date = {snapshot_date:Date}) > 0     AS has_snapshot,
    (SELECT count() FROM users WHERE event_date < {snapshot_date:Date}) > 0     AS has_earlier_snapshot,
    (SELECT max(event_date) FROM users WHERE event_date < {snapshot_date:Date}) AS latest_snapshot,
    exists(
        SELECT 1 FROM $feed_actions
        WHERE time >= {history_start:DateTime('UTC')} AND time < {snapshot_end:DateTime('UTC')} LIMIT 1)
    OR exists(
        SELECT 1 FROM $message_actions
        WHERE time >= {history_start:DateTime('UTC')} AND time < {snapshot_end:DateTime('UTC')} LIMIT 1) AS has_events
