-- The computed slots against a count taken straight from the source, and in themselves. `staging` holds their day
-- before it is swapped in.
WITH
    feed AS
    (
        SELECT sum(slot_views) AS views, sum(slot_likes) AS likes, sum(slot_users) AS users
        FROM
        (
            SELECT
                countIf(action = 'view') AS slot_views, countIf(action = 'like') AS slot_likes,
                uniqExact(user_id) AS slot_users
            FROM {feed_database:Identifier}.{feed_table:Identifier}
            WHERE time >= {first_slot:DateTime('UTC')} AND time < {end_slot:DateTime('UTC')}
            GROUP BY intDiv(toUnixTimestamp(toDateTime(time, 'UTC')), 900)
        )
    ),
    messenger AS
    (
        SELECT sum(slot_messages) AS messages, sum(slot_users) AS users
        FROM
        (
            SELECT count() AS slot_messages, uniqExact(user_id) AS slot_users
            FROM {messages_database:Identifier}.{messages_table:Identifier}
            WHERE time >= {first_slot:DateTime('UTC')} AND time < {end_slot:DateTime('UTC')}
            GROUP BY intDiv(toUnixTimestamp(toDateTime(time, 'UTC')), 900)
        )
    ),
    computed AS
    (
        SELECT * FROM {staging:Identifier}
        WHERE slot_start >= {first_slot:DateTime('UTC')} AND slot_start < {end_slot:DateTime('UTC')}
    ),
    total AS
    (
        SELECT
            count() AS slots, uniqExact(slot_start) AS distinct_slots,
            sum(views) AS views_sum, sum(likes) AS likes_sum, sum(feed_users) AS feed_users_sum,
            sum(messages) AS messages_sum, sum(senders) AS senders_sum
        FROM computed WHERE dimension = 'total'
    ),
    slices AS
    (
        SELECT
            count() AS rows, uniqExact(slot_start, dimension, dimension_value) AS distinct_rows,
            sumIf(views, dimension != 'total')    AS views_sum,
            sumIf(likes, dimension != 'total')    AS likes_sum,
            sumIf(messages, dimension != 'total') AS messages_sum
        FROM computed WHERE has({dimensions:Array(String)}, dimension)
    ),
    toInt64(length({dimensions:Array(String)}) - 1) AS dimension_count,
    toInt64({end_slot:DateTime('UTC')} - {first_slot:DateTime('UTC')}) / 900 AS slot_count
SELECT
    arrayJoin([
        ('reconciles_with_source', 'views', toInt64(feed.views), toInt64(total.views_sum)),
        ('reconciles_with_source', 'likes', toInt64(feed.likes), toInt64(total.likes_sum)),
        ('reconciles_with_source', 'feed_users', toInt64(feed.users), toInt64(total.feed_users_sum)),
        ('reconciles_with_source', 'messages', toInt64(messenger.messages), toInt64(total.messages_sum)),
        ('reconciles_with_source', 'senders', toInt64(messenger.users), toInt64(total.senders_sum)),
        ('slices_add_up', 'views', toInt64(dimension_count * total.views_sum), toInt64(slices.views_sum)),
        ('slices_add_up', 'likes', toInt64(dimension_count * total.likes_sum), toInt64(slices.likes_sum)),
        ('slices_add_up', 'messages', toInt64(dimension_count * total.messages_sum), toInt64(slices.messages_sum)),
        ('grid_is_full', 'slots with a total', toInt64(slot_count), toInt64(total.distinct_slots)),
        ('grid_is_full', 'totals, one per slot', toInt64(total.distinct_slots), toInt64(total.slots)),
        ('grid_is_full', 'rows, one per slot and slice', toInt64(slices.distinct_rows), toInt64(slices.rows))
    ]) AS comparison,
    comparison.1 AS check_name,
    comparison.2 AS quantity,
    comparison.3 AS expected,
    comparison.4 AS actual
FROM feed, messenger, total, slices
