-- The messenger's extract against a count taken straight from the source. Every message is sent by one and
-- received by one, so both sums equal the number of messages; pairs of sender and receiver likewise. `without_user`: how
-- many rows of the source lack the one or the other, and are left out.
WITH
    source AS
    (
        SELECT
            count()                   AS messages,
            uniqExact(user)           AS senders,
            uniqExact(receiver)       AS receivers,
            uniqExact(user, receiver) AS pairs
        FROM $message_actions
        WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
    ),
    left_out AS
    (
        SELECT count() AS without_user
        FROM $message_actions_without_user
        WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
    ),
    staged AS
    (
        SELECT
            sum(messages_sent)             AS sent,
            sum(messages_received)         AS received,
            sum(users_sent)                AS sent_to,
            sum(users_received)            AS received_from,
            countIf(messages_sent > 0)     AS senders,
            countIf(messages_received > 0) AS receivers,
            count()                        AS rows,
            uniqExact(user_id)             AS users
        FROM {staging:Identifier}
    )
SELECT
    arrayJoin([
        ('reconciles_with_source', 'messages_sent', toInt64(source.messages), toInt64(staged.sent)),
        ('reconciles_with_source', 'messages_received', toInt64(source.messages), toInt64(staged.received)),
        ('reconciles_with_source', 'senders', toInt64(source.senders), toInt64(staged.senders)),
        ('reconciles_with_source', 'receivers', toInt64(source.receivers), toInt64(staged.receivers)),
        ('reconciles_with_source', 'users_sent', toInt64(source.pairs), toInt64(staged.sent_to)),
        ('reconciles_with_source', 'users_received', toInt64(source.pairs), toInt64(staged.received_from)),
        ('one_row_per_user', 'rows', toInt64(staged.users), toInt64(staged.rows)),
        ('sent_equals_received', 'messages', toInt64(staged.sent), toInt64(staged.received))
    ]) AS comparison,
    comparison.1 AS check_name,
    comparison.2 AS quantity,
    comparison.3 AS expected,
    comparison.4 AS actual,
    left_out.without_user AS without_user
FROM source, left_out, staged
