-- The final table: every dimension adds up to the same sums, and those to a count taken straight from the source. The
-- third number is how many events have come into the source since the extracts were made: a difference of exactly that is
-- no fault of the load, and the next computation of the day includes it.
SELECT
    (lowest[1], highest[1])                             AS `dimensions_agree: views`,
    (lowest[2], highest[2])                             AS `dimensions_agree: likes`,
    (lowest[3], highest[3])                             AS `dimensions_agree: messages_received`,
    (lowest[4], highest[4])                             AS `dimensions_agree: messages_sent`,
    (lowest[5], highest[5])                             AS `dimensions_agree: users_received`,
    (lowest[6], highest[6])                             AS `dimensions_agree: users_sent`,
    (views, highest[1], views - views_sum)              AS `reconciles_with_source: views`,
    (likes, highest[2], likes - likes_sum)              AS `reconciles_with_source: likes`,
    (messages, highest[3], messages - received)         AS `reconciles_with_source: messages_received`,
    (messages, highest[4], messages - sent)             AS `reconciles_with_source: messages_sent`,
    (pairs, highest[5], pairs - received_from)          AS `reconciles_with_source: users_received`,
    (pairs, highest[6], pairs - sent_to)                AS `reconciles_with_source: users_sent`,
    (highest[4], highest[3])                            AS `sent_equals_received: messages`,
    (distinct_keys, rows)                               AS `keys_are_unique: rows, one per day, dimension and value`,
    (0, empty_values)                                   AS `values_are_valid: empty dimensions or values`,
    (0, other_days)                                     AS `values_are_valid: rows of another day`,
    (0, negative)                                       AS `values_are_valid: rows with a negative measure`,
    (if(rows = 0, 0, {dimension_count:Int64}), dimensions) AS `values_are_valid: dimensions with rows`
FROM
    (SELECT count() AS dimensions, minForEach(sums) AS lowest, maxForEach(sums) AS highest
     FROM (SELECT $sums AS sums FROM {staging:Identifier} GROUP BY dimension)) AS extremes,
    (SELECT countIf(action = 'view') AS views, countIf(action = 'like') AS likes
     FROM $feed_actions WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}) AS source_feed,
    (SELECT count() AS messages, uniqExact(user, receiver) AS pairs
     FROM $message_actions WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}) AS source_messages,
    (SELECT sum(views) AS views_sum, sum(likes) AS likes_sum
     FROM feed_user_daily WHERE event_date = {event_date:Date}) AS extract_feed,
    (SELECT sum(messages_received) AS received, sum(messages_sent) AS sent,
            sum(users_received) AS received_from, sum(users_sent) AS sent_to
     FROM message_user_daily WHERE event_date = {event_date:Date}) AS extract_messages,
    (SELECT count() AS rows, uniqExact(event_date, dimension, dimension_value) AS distinct_keys,
            countIf(dimension_value = '' OR dimension = '') AS empty_values,
            countIf(event_date != {event_date:Date}) AS other_days, $negative AS negative
     FROM {staging:Identifier}) AS validity
