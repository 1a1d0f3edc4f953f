-- As notebooks and the Airflow scripts made of them read the feed: one row per user into pandas.
SELECT
    user_id,
    countIf(action = 'view') AS views,
    countIf(action = 'like') AS likes,
    os, gender, age
FROM {database:Identifier}.feed_actions
WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
GROUP BY user_id, os, gender, age
