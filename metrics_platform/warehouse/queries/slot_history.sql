-- The history for the detectors: one metric in [start, end), one row per series that is on the grid in [evaluated_from, end).
-- `positions` are slots counted from the start. The series are read in parts, so that memory stays bounded.
--
-- Values of an earlier definition are not comparable, and `other` has other members every day. FINAL costs nothing on days
-- that ClickHouse has merged into a single part.
SELECT
    toString(dimension)       AS series_dimension,
    toString(dimension_value) AS series_value,
    groupArray(position)      AS positions,
    $values
FROM
(
    SELECT
        dimension, dimension_value, slot_start, numerator, denominator,
        toUInt16((slot_start - {start:DateTime('UTC')}) / 900) AS position
    FROM slot_metrics FINAL
    WHERE metric = {metric:String}
      AND event_date >= {first_day:Date} AND event_date <= {last_day:Date}
      AND slot_start >= {start:DateTime('UTC')} AND slot_start < {end:DateTime('UTC')}
      AND $conditions
)
GROUP BY dimension, dimension_value
HAVING max(slot_start) >= {evaluated_from:DateTime('UTC')}
ORDER BY dimension != 'total', dimension, dimension_value
