-- The last evaluated slot, and the number of open incidents by severity.
SELECT
    (SELECT maxOrNull(slot_start) FROM monitored_slots) AS last_slot,
    countIf(severity = 'critical') AS critical,
    countIf(severity = 'warning') AS warning
FROM
(
    -- The latest row of an incident has its current state. Inhibited incidents do not count.
    SELECT state, severity, folded_into
    FROM incidents FINAL
    ORDER BY slot_start DESC
    LIMIT 1 BY incident
)
WHERE state = 'open' AND folded_into = ''
