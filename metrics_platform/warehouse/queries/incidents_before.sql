-- The incidents before a slot: those that are open, those that ended in the eight days before, and those that are
-- marked as not an incident, while they silence others. Each with its answer.
SELECT *
FROM
(
    SELECT *
    FROM incidents FINAL
    WHERE slot_start < {first_slot:DateTime('UTC')}
      AND (slot_start >= {first_slot:DateTime('UTC')} - INTERVAL 8 DAY
           OR (slot_start >= {first_slot:DateTime('UTC')} - INTERVAL {quiet_days:UInt16} DAY
               AND incident IN (SELECT incident FROM incident_answers)))
    ORDER BY incident, slot_start DESC
    LIMIT 1 BY incident
) AS found
LEFT JOIN
(
    SELECT incident, answered_by, note, quiet_up_to
    FROM incident_answers FINAL
    WHERE answer = 'not_an_incident'
) AS answers USING (incident)
ORDER BY incident
