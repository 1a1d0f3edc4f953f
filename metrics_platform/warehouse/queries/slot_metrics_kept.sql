-- What a day's partition keeps: its slots outside of [first_slot, end_slot), which is computed anew.
SELECT *
FROM slot_metrics
WHERE toDate(slot_start) = {event_date:Date}
  AND NOT (slot_start >= {first_slot:DateTime('UTC')} AND slot_start < {end_slot:DateTime('UTC')})
