-- What a day's partition keeps: the verdicts on its slots outside of [first_slot, end_slot), which is judged anew.
SELECT *
FROM verdicts
WHERE toDate(slot_start) = {event_date:Date}
  AND NOT (slot_start >= {first_slot:DateTime('UTC')} AND slot_start < {end_slot:DateTime('UTC')})
