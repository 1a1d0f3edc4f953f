-- How many incidents are open now, and how many of them are critical: without those that are part of another, or muted.
--
-- Visualisation: Counter. Counter Value Column Name: open_incidents. A second one: critical.
-- Parameters: none.
SELECT
    count() AS open_incidents,
    countIf(severity = 'critical') AS critical
FROM
(
    SELECT state, severity, folded_into
    FROM incidents FINAL
    ORDER BY slot_start DESC
    LIMIT 1 BY incident
)
WHERE state = 'open' AND folded_into = ''
