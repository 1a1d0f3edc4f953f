-- The latest day: each metric of the morning report, against the day before and the same weekday a week before.
--
-- Visualisation: Table, as it is. change_1d and change_7d are per cent for numbers and percentage points for rates,
--   empty where the base is missing or 0. Colour them: Edit Visualization, Columns, Number format +0.0.
-- Parameters: none.
WITH (SELECT max(event_date) FROM app_daily) AS latest
SELECT
    event_date,
    metric,
    unit,
    round(value, 2) AS value,
    round(day_before, 2) AS day_before,
    round(if(unit = '%', value - day_before, 100 * (value / nullIf(day_before, 0) - 1)), 1) AS change_1d,
    round(week_before, 2) AS week_before,
    round(if(unit = '%', value - week_before, 100 * (value / nullIf(week_before, 0) - 1)), 1) AS change_7d
FROM
(
    -- For a missing day, anyIf finds nothing and returns NULL. No value is shifted to the next day.
    SELECT
        latest AS event_date,
        measure.1 AS place,
        measure.2 AS metric,
        measure.3 AS unit,
        anyIf(measure.4, days.event_date = latest) AS value,
        anyOrNullIf(measure.4, days.event_date = latest - 1) AS day_before,
        anyOrNullIf(measure.4, days.event_date = latest - 7) AS week_before
    FROM
    (
        SELECT
            app_daily.event_date AS event_date,
            [
                (1, 'App DAU', 'users', toNullable(toFloat64(app_dau))),
                (2, 'Feed DAU', 'users', toNullable(toFloat64(feed_dau))),
                (3, 'Messenger DAU', 'users', toNullable(toFloat64(messenger_dau))),
                (4, 'Feed only', 'users', toNullable(toFloat64(feed_only))),
                (5, 'Messenger only', 'users', toNullable(toFloat64(messenger_only))),
                (6, 'Both services', 'users', toNullable(toFloat64(both_services))),
                (7, 'Views', 'posts', toNullable(toFloat64(views))),
                (8, 'Likes', 'posts', toNullable(toFloat64(likes))),
                (9, 'CTR', '%', 100 * ctr),
                (10, 'Views per user', 'posts', views_per_user),
                (11, 'Likes per user', 'posts', likes_per_user),
                (12, 'Messages', 'messages', toNullable(toFloat64(messages_sent))),
                (13, 'Senders', 'users', toNullable(toFloat64(senders))),
                (14, 'Receivers', 'users', toNullable(toFloat64(receivers))),
                (15, 'Sent per sender', 'messages', sent_per_sender),
                (16, 'Received per receiver', 'messages', received_per_receiver),
                (17, 'Sent / received', 'ratio', sent_received),
                (18, 'New users', 'users', toNullable(toFloat64(new_users))),
                (19, 'New users, ads', 'users', toNullable(toFloat64(new_users_ads))),
                (20, 'New users, organic', 'users', toNullable(toFloat64(new_users_organic))),
                (21, 'New users, other', 'users', toNullable(toFloat64(new_users_other))),
                (22, 'WAU', 'users', toFloat64(wau)),
                (23, 'MAU', 'users', toFloat64(mau)),
                (24, 'Stickiness', '%', 100 * stickiness),
                (25, 'D1 retention', '%', 100 * retention_d1),
                (26, 'D7 retention', '%', 100 * retention_d7)
            ] AS measures
        FROM app_daily
        WHERE app_daily.event_date >= latest - 7
    ) AS days
    ARRAY JOIN measures AS measure
    GROUP BY place, metric, unit
)
ORDER BY place
