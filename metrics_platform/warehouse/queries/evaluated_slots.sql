-- How many series have a verdict in each slot of [first_slot, end_slot), and how many are anomalous.
SELECT slot_start, count() AS series, countIf(status = 'anomalous') AS anomalous
FROM verdicts FINAL
WHERE event_date = {event_date:Date}
  AND slot_start >= {first_slot:DateTime('UTC')} AND slot_start < {end_slot:DateTime('UTC')}
GROUP BY slot_start
ORDER BY slot_start
