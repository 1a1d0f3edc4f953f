-- What the detectors look at: [first_slot, end_slot) of each series that is on the grid in [judged_slot, end_slot),
-- one row per series, its slots as positions from first_slot on, each count as `groupArray(name)`.
SELECT
    toString(dimension)       AS series_dimension,
    toString(dimension_value) AS series_value,
    groupArray(toUInt32((slot_start - {first_slot:DateTime('UTC')}) / 900)) AS positions,
    * EXCEPT (slot_start, dimension, dimension_value, ctr) APPLY groupArray
FROM slot_metrics
WHERE slot_start >= {first_slot:DateTime('UTC')} AND slot_start < {end_slot:DateTime('UTC')}
  AND has({dimensions:Array(String)}, dimension)
GROUP BY dimension, dimension_value
HAVING max(slot_start) >= {judged_slot:DateTime('UTC')}
ORDER BY dimension != 'total', dimension, dimension_value
