-- How many events of each source lie in each of these slots; slots that were not computed have no row.
SELECT slot_start, views + likes AS feed_actions, messages AS message_actions
FROM slot_metrics
WHERE dimension = 'total' AND slot_start IN {slots:Array(DateTime('UTC'))}
