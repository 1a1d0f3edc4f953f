-- What the detectors look at: one metric in [start, end), one row per series that is on the grid in [evaluated_from, end).
-- `positions` are slots counted from the start. The series are read in `parts`, so that memory stays bounded.
SELECT
    toString(dimension)       AS series_dimension,
    toString(dimension_value) AS series_value,
    groupArray(toUInt16((slot_start - {start:DateTime('UTC')}) / 900)) AS positions,
    groupArray(ifNull(numerator, nan)) AS numerators,
    -- Only quotients have one.
    groupArray(ifNull(denominator, nan)) AS denominators
FROM slot_metrics FINAL
WHERE metric = {metric:String}
  -- Values of an earlier definition are not comparable.
  AND definition = {definition:UInt64}
  AND event_date >= {first_day:Date} AND event_date <= {last_day:Date}
  AND slot_start >= {start:DateTime('UTC')} AND slot_start < {end:DateTime('UTC')}
  AND has({dimensions:Array(String)}, toString(dimension))
  AND cityHash64(dimension, dimension_value) % {parts:UInt16} = {part:UInt16}
GROUP BY dimension, dimension_value
HAVING max(slot_start) >= {evaluated_from:DateTime('UTC')}
ORDER BY dimension != 'total', dimension, dimension_value
