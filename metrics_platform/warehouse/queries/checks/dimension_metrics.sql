-- The final table: every dimension adds up to the same sums, and those to a count taken straight from the
-- source. `late` is how many events have come into the source since the extracts were made: a difference of
-- exactly that is no fault of the load, and the next recomputation of the day takes it in.
WITH
    per_dimension AS
    (
        SELECT
            sum(views) AS views_sum, sum(likes) AS likes_sum,
            sum(messages_received) AS received, sum(messages_sent) AS sent,
            sum(users_received) AS received_from, sum(users_sent) AS sent_to
        FROM {staging:Identifier}
        GROUP BY dimension
    ),
    extremes AS
    (
        SELECT
            count() AS dimensions,
            [min(views_sum), min(likes_sum), min(received), min(sent), min(received_from), min(sent_to)] AS lowest,
            [max(views_sum), max(likes_sum), max(received), max(sent), max(received_from), max(sent_to)] AS highest
        FROM per_dimension
    ),
    source_feed AS
    (
        SELECT countIf(action = 'view') AS views, countIf(action = 'like') AS likes
        FROM $feed_actions
        WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
    ),
    source_messages AS
    (
        SELECT count() AS messages, uniqExact(user, receiver) AS pairs
        FROM $message_actions
        WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
    ),
    extract_feed AS
    (
        SELECT sum(views) AS views_sum, sum(likes) AS likes_sum
        FROM feed_user_daily WHERE event_date = {event_date:Date}
    ),
    extract_messages AS
    (
        SELECT
            sum(messages_received) AS received, sum(messages_sent) AS sent,
            sum(users_received) AS received_from, sum(users_sent) AS sent_to
        FROM message_user_daily WHERE event_date = {event_date:Date}
    ),
    validity AS
    (
        SELECT
            count() AS rows,
            uniqExact(event_date, dimension, dimension_value) AS distinct_keys,
            countIf(dimension_value = '' OR dimension = '') AS empty_values,
            countIf(event_date != {event_date:Date}) AS other_days,
            countIf(least(views, likes, messages_received, messages_sent, users_received, users_sent) < 0) AS negative
        FROM {staging:Identifier}
    ),
    -- One array per side, in the order of `measures`; a message is one sent and one received.
    ['views', 'likes', 'messages_received', 'messages_sent', 'users_received', 'users_sent'] AS measures,
    [source_feed.views, source_feed.likes, messages, messages, pairs, pairs] AS in_source,
    [extract_feed.views_sum, extract_feed.likes_sum, extract_messages.received, extract_messages.sent,
     extract_messages.received_from, extract_messages.sent_to] AS in_extracts
SELECT
    arrayJoin(arrayConcat(
        arrayMap(
            (measure, low, high) -> ('dimensions_agree', measure, toInt64(low), toInt64(high), toInt64(0)),
            measures, lowest, highest),
        arrayMap(
            (measure, counted, extracted, found) ->
                ('reconciles_with_source', measure, toInt64(counted), toInt64(found),
                 toInt64(counted) - toInt64(extracted)),
            measures, in_source, in_extracts, highest),
        [
            ('sent_equals_received', 'messages', toInt64(highest[4]), toInt64(highest[3]), toInt64(0)),
            ('keys_are_unique', 'rows, one per day, dimension and value', toInt64(distinct_keys), toInt64(rows), toInt64(0)),
            ('values_are_valid', 'empty dimensions or values', toInt64(0), toInt64(empty_values), toInt64(0)),
            ('values_are_valid', 'rows of another day', toInt64(0), toInt64(other_days), toInt64(0)),
            ('values_are_valid', 'rows with a negative measure', toInt64(0), toInt64(negative), toInt64(0)),
            ('values_are_valid', 'dimensions with rows',
             if(rows = 0, toInt64(0), {dimension_count:Int64}), toInt64(dimensions), toInt64(0))
        ]
    )) AS comparison,
    comparison.1 AS check_name,
    comparison.2 AS quantity,
    comparison.3 AS expected,
    comparison.4 AS actual,
    comparison.5 AS late
FROM extremes, source_feed, source_messages, extract_feed, extract_messages, validity
