-- The slots in [first_slot, end_slot), as far as they have events; all that is read from the source.
--
-- Feed and messenger are aggregated apart and put together by UNION ALL, so that one service's death does not hide
-- the other. Events are first folded to users, so that each is spread over the dimensions once and not per event.
-- A user whose os changes within a slot counts in both slices, and once in the total.
WITH
    value -> if(ifNull(toString(value), '') = '', 'unknown', toString(value)) AS named,
    (os, source, country, city, gender, exp_group) -> arrayFilter(
        slice -> has({dimensions:Array(String)}, slice.1),
        [
            ('total', 'total'),
            ('os', named(os)),
            ('source', named(source)),
            ('country', named(country)),
            ('city', named(city)),
            ('gender', multiIf(toString(gender) IN ('1', 'male'), 'male',
                               toString(gender) IN ('0', 'female'), 'female', 'unknown')),
            ('exp_group', if(exp_group >= 0, named(exp_group), 'unknown'))
        ]) AS slices_of,
feed_sets AS
(
    SELECT
        toStartOfFifteenMinutes(toDateTime(time, 'UTC')) AS slot,
        user_id, os, source, country, city, gender, exp_group,
        countIf(action = 'view') AS set_views,
        countIf(action = 'like') AS set_likes
    FROM {feed_database:Identifier}.{feed_table:Identifier}
    WHERE time >= {first_slot:DateTime('UTC')} AND time < {end_slot:DateTime('UTC')}
    GROUP BY slot, user_id, os, source, country, city, gender, exp_group
),
message_sets AS
(
    SELECT
        toStartOfFifteenMinutes(toDateTime(time, 'UTC')) AS slot,
        user_id, os, source, country, city, gender, exp_group,
        count() AS set_messages
    FROM {messages_database:Identifier}.{messages_table:Identifier}
    WHERE time >= {first_slot:DateTime('UTC')} AND time < {end_slot:DateTime('UTC')}
    GROUP BY slot, user_id, os, source, country, city, gender, exp_group
)
SELECT
    slot                                 AS slot_start,
    slice.1                              AS dimension,
    slice.2                              AS dimension_value,
    toInt64(sum(slot_views))             AS views,
    toInt64(sum(slot_likes))             AS likes,
    toInt64(sum(slot_feed_users))        AS feed_users,
    toInt64(sum(slot_messages))          AS messages,
    toInt64(sum(slot_senders))           AS senders,
    if(views = 0, NULL, likes / views)   AS ctr
FROM
(
    SELECT
        slot, slice,
        sum(set_views) AS slot_views, sum(set_likes) AS slot_likes, uniqExact(user_id) AS slot_feed_users,
        0 AS slot_messages, 0 AS slot_senders
    FROM feed_sets
    ARRAY JOIN slices_of(os, source, country, city, gender, exp_group) AS slice
    GROUP BY slot, slice
    UNION ALL
    SELECT
        slot, slice,
        0, 0, 0, sum(set_messages), uniqExact(user_id)
    FROM message_sets
    ARRAY JOIN slices_of(os, source, country, city, gender, exp_group) AS slice
    GROUP BY slot, slice
)
GROUP BY slot, slice
