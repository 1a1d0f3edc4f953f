-- What the monitor has evaluated, and what is open: the last slot, and the open incidents by severity.
SELECT
    (SELECT maxOrNull(slot_start) FROM monitored_slots) AS last_slot,
    countIf(severity = 'critical') AS critical,
    countIf(severity = 'warning') AS warning
FROM
(
    -- The latest row of an incident says how it is now. One that is part of another is not an alert of its own.
    SELECT state, severity, folded_into
    FROM incidents FINAL
    ORDER BY slot_start DESC
    LIMIT 1 BY incident
)
WHERE state = 'open' AND folded_into = ''
