-- The facts of the morning report: one row per day with the audience (feed, messenger, both), activity, messages,
-- new users by source, WAU, MAU, stickiness, and the D1 and D7 retention.
--
-- Active users made a feed action or sent a message; users who only received are not active. WAU and MAU are the
-- distinct active users of the rolling 7 and 28 days that end with the day, and NULL until the very first event is that
-- old. A day that was never computed has no row; a computed day without events has zeros, and NULL for a ratio with a
-- base of 0.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    event_date            Date              COMMENT 'the day, in the product''s time zone',
    app_dau               Int64             COMMENT 'distinct users with a feed action or a message sent; users who only received are not active',
    feed_dau              Int64             COMMENT 'distinct users with a feed action',
    messenger_dau         Int64             COMMENT 'distinct senders',
    feed_only             Int64             COMMENT 'of app_dau: those who on the day used the feed and sent nothing',
    messenger_only        Int64             COMMENT 'of app_dau: those who on the day sent a message and did not use the feed',
    both_services         Int64             COMMENT 'of app_dau: those who on the day did both',
    views                 Int64             COMMENT 'posts viewed',
    likes                 Int64             COMMENT 'posts liked',
    ctr                   Nullable(Float64) COMMENT 'likes / views, 0.2 is 20 %; NULL: no views',
    views_per_user        Nullable(Float64) COMMENT 'views / feed_dau; NULL: no feed users',
    likes_per_user        Nullable(Float64) COMMENT 'likes / feed_dau; NULL: no feed users',
    messages_sent         Int64             COMMENT 'messages sent; the same number was received',
    senders               Int64             COMMENT 'distinct users who sent',
    receivers             Int64             COMMENT 'distinct users who received',
    sent_per_sender       Nullable(Float64) COMMENT 'messages_sent / senders; NULL: no messages',
    received_per_receiver Nullable(Float64) COMMENT 'messages_sent / receivers; NULL: no messages',
    sent_received         Nullable(Float64) COMMENT 'sent_per_sender / received_per_receiver; NULL: no messages',
    new_users             Int64             COMMENT 'users whose very first event, over both tables, is on the day',
    new_users_ads         Int64             COMMENT 'of new_users: the first event has the source ads',
    new_users_organic     Int64             COMMENT 'of new_users: the first event has the source organic',
    new_users_other       Int64             COMMENT 'of new_users: the first event has another source, or an unknown one',
    wau                   Nullable(Int64)   COMMENT 'distinct active users of the 7 days that end with the day; NULL: the events do not go back that far',
    mau                   Nullable(Int64)   COMMENT 'distinct active users of the 28 days that end with the day; NULL: the events do not go back that far',
    stickiness            Nullable(Float64) COMMENT 'app_dau / mau, 0.2 is 20 %; NULL: no mau, or no users in 28 days',
    cohort_d1             Int64             COMMENT 'users who were new the day before',
    retained_d1           Int64             COMMENT 'of cohort_d1: those active on the day',
    retention_d1          Nullable(Float64) COMMENT 'retained_d1 / cohort_d1, 0.2 is 20 %; NULL: no users were new the day before',
    cohort_d7             Int64             COMMENT 'users who were new seven days before',
    retained_d7           Int64             COMMENT 'of cohort_d7: those active on the day',
    retention_d7          Nullable(Float64) COMMENT 'retained_d7 / cohort_d7, 0.2 is 20 %; NULL: no users were new seven days before'
)
ENGINE = MergeTree
PARTITION BY event_date
ORDER BY event_date
COMMENT 'One row per day: audience, activity, messages, new users, WAU, MAU and retention';
