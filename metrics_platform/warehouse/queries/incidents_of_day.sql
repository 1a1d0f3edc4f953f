-- The notified incidents that lasted into a day or are still open, in their state at end_slot.
SELECT metric, dimension, dimension_value, severity, opened_at, closed_at, worst_change
FROM
(
    SELECT *
    FROM incidents FINAL
    WHERE slot_start >= {first_slot:DateTime('UTC')} - INTERVAL 8 DAY AND slot_start < {end_slot:DateTime('UTC')}
    ORDER BY incident, slot_start DESC
    LIMIT 1 BY incident
)
WHERE message != '' AND (closed_at IS NULL OR closed_at > {first_slot:DateTime('UTC')})
    AND (closed_at IS NULL OR opened_at < {day_end:DateTime('UTC')})
ORDER BY severity, dimension != 'total', opened_at, metric
