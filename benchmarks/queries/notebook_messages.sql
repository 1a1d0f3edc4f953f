-- As notebooks and the Airflow scripts made of them read the messenger: one row per user into pandas.
SELECT
    if(sent.user_id = 0, received.user_id, sent.user_id) AS user_id,
    messages_received, messages_sent, users_received, users_sent, os, gender, age
FROM
(
    SELECT user_id, count() AS messages_sent, uniqExact(receiver_id) AS users_sent, any(os) AS os,
        any(gender) AS gender, any(age) AS age
    FROM {database:Identifier}.message_actions
    WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
    GROUP BY user_id
) AS sent
FULL OUTER JOIN
(
    SELECT receiver_id AS user_id, count() AS messages_received, uniqExact(user_id) AS users_received
    FROM {database:Identifier}.message_actions
    WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
    GROUP BY receiver_id
) AS received ON sent.user_id = received.user_id
