-- How the incidents stood before a slot: those that are open, and those that ended in the eight days before.
SELECT *
FROM incidents FINAL
WHERE slot_start >= {first_slot:DateTime('UTC')} - INTERVAL 8 DAY AND slot_start < {first_slot:DateTime('UTC')}
ORDER BY incident, slot_start DESC
LIMIT 1 BY incident
