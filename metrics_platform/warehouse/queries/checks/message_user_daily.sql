-- The messenger's extract against a count taken straight from the source. Every message is sent by one and received by
-- one, so both sums equal the number of messages; pairs of sender and receiver likewise. `without_user`: how many rows of
-- the source lack the one or the other, and are left out.
SELECT
    (messages, sent)                       AS `reconciles_with_source: messages_sent`,
    (messages, received)                   AS `reconciles_with_source: messages_received`,
    (senders_in_source, senders)           AS `reconciles_with_source: senders`,
    (receivers_in_source, receivers)       AS `reconciles_with_source: receivers`,
    (pairs, sent_to)                       AS `reconciles_with_source: users_sent`,
    (pairs, received_from)                 AS `reconciles_with_source: users_received`,
    (users, rows)                          AS `one_row_per_user: rows`,
    (sent, received)                       AS `sent_equals_received: messages`,
    without_user
FROM
    (SELECT count() AS messages, uniqExact(user) AS senders_in_source, uniqExact(receiver) AS receivers_in_source,
            uniqExact(user, receiver) AS pairs
     FROM $message_actions WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}) AS source,
    (SELECT count() AS without_user
     FROM $message_actions_without_user WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}) AS left_out,
    (SELECT sum(messages_sent) AS sent, sum(messages_received) AS received,
            sum(users_sent) AS sent_to, sum(users_received) AS received_from,
            countIf(messages_sent > 0) AS senders, countIf(messages_received > 0) AS receivers,
            count() AS rows, uniqExact(user_id) AS users
     FROM {staging:Identifier}) AS staged
