-- One series of one metric, [first_slot, end_slot): its columns and, where it was judged, its band.
SELECT
    slots.slot_start AS slot_start,
    slots.{numerator:Identifier} AS numerator,
    slots.{denominator:Identifier} AS denominator,
    bands.lower AS lower,
    bands.upper AS upper
FROM slot_metrics AS slots
LEFT JOIN
(
    SELECT slot_start, lower, upper
    FROM verdicts
    WHERE slot_start >= {first_slot:DateTime('UTC')} AND slot_start < {end_slot:DateTime('UTC')}
      AND metric = {metric:String} AND dimension = {dimension:String} AND dimension_value = {dimension_value:String}
) AS bands ON bands.slot_start = slots.slot_start
WHERE slots.slot_start >= {first_slot:DateTime('UTC')} AND slots.slot_start < {end_slot:DateTime('UTC')}
  AND slots.dimension = {dimension:String} AND slots.dimension_value = {dimension_value:String}
ORDER BY slot_start
