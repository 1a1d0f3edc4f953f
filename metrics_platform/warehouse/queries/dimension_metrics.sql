-- The final table: the slices of every dimension, one after the other (this is repeated for each dimension).
SELECT
    event_date, dimension, dimension_value,
    views, likes, messages_received, messages_sent, users_received, users_sent
FROM $slice_table
WHERE event_date = {event_date:Date}
