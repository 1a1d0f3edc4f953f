-- The messenger: messages, who sent and who received, and how many each.
--
-- Visualisation: Chart, Line. X: event_date. Y: messages_sent. A second chart: Y: senders, receivers.
--   A third: Y: sent_per_sender, received_per_receiver, sent_received.
-- Missing days are rows of NULL: choose "Missing and NULL values: Do not display in chart", so that they are gaps.
-- Parameters: date_range (Date Range).
SELECT
    event_date,
    toNullable(messages_sent) AS messages_sent,
    toNullable(senders) AS senders,
    toNullable(receivers) AS receivers,
    round(sent_per_sender, 2) AS sent_per_sender,
    round(received_per_receiver, 2) AS received_per_receiver,
    round(sent_received, 3) AS sent_received
FROM app_daily
WHERE event_date BETWEEN '{{ date_range.start }}' AND '{{ date_range.end }}'
ORDER BY event_date WITH FILL
