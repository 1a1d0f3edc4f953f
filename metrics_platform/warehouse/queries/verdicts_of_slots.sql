-- The verdicts of [first_slot, end_slot) that incidents need: those of series that are anomalous in one of these slots,
-- and of those that have an incident (`metrics`, `series_dimensions`, `series_values`, side by side).
WITH arrayZip({metrics:Array(String)}, {series_dimensions:Array(String)}, {series_values:Array(String)}) AS known
SELECT *
FROM verdicts FINAL
WHERE event_date = {event_date:Date}
  AND slot_start >= {first_slot:DateTime('UTC')} AND slot_start < {end_slot:DateTime('UTC')}
  AND (
      has(known, (toString(metric), toString(dimension), toString(dimension_value)))
      OR (metric, dimension, dimension_value) IN (
          SELECT metric, dimension, dimension_value
          FROM verdicts FINAL
          WHERE event_date = {event_date:Date}
            AND slot_start >= {first_slot:DateTime('UTC')} AND slot_start < {end_slot:DateTime('UTC')}
            AND status = 'anomalous'))
ORDER BY slot_start, metric, dimension != 'total', dimension, dimension_value
