-- The slots of [first, end) that have been taken into the incidents, with the messages that were begun at them.
SELECT
    slots.slot_start     AS slot_start,
    any(series)          AS series,
    any(anomalous)       AS anomalous,
    any(open_incidents)  AS open_incidents,
    arraySort(groupUniqArrayIf(told.message, told.message != '')) AS messages
FROM (SELECT * FROM monitored_slots FINAL) AS slots
LEFT JOIN
(
    SELECT DISTINCT assumeNotNull(told_at) AS told_at, message
    FROM incidents
    WHERE told_at >= {first:DateTime('UTC')} AND told_at < {end:DateTime('UTC')}
) AS told ON told.told_at = slots.slot_start
WHERE slots.slot_start >= {first:DateTime('UTC')} AND slots.slot_start < {end:DateTime('UTC')}
GROUP BY slots.slot_start
ORDER BY slot_start
