-- How many incidents are open now, and how many of them are critical. Those that are part of another do not count.
--
-- Visualisation: Counter. Counter Value Column Name: open_incidents. A second one: critical.
-- Parameters: none.
SELECT
    countIf(state = 'open') AS open_incidents,
    countIf(state = 'open' AND severity = 'critical') AS critical
FROM
(
    SELECT state, severity, folded_into
    FROM incidents FINAL
    ORDER BY slot_start DESC
    LIMIT 1 BY incident
)
WHERE folded_into = ''
