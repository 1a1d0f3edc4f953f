-- The feed's extract: one row per user with a feed action in [day_start, day_end).
WITH
    $stamps
SELECT
    {event_date:Date} AS event_date,
    user              AS user_id,
    sum(set_views)    AS views,
    sum(set_likes)    AS likes,
    $latest_attributes,
    $first_source AS source,
    min(first_time)   AS first_seen_at
FROM $feed_actions_sets
GROUP BY user
