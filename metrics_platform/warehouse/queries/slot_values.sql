-- One series of one metric in [first_slot, end_slot), with the band of the slots that were evaluated.
SELECT
    slots.slot_start AS slot_start,
    slots.value AS value,
    bands.lower AS lower,
    bands.upper AS upper
FROM (SELECT * FROM slot_metrics FINAL
      WHERE metric = {metric:String} AND dimension = {dimension:String} AND dimension_value = {dimension_value:String}
        AND slot_start >= {first_slot:DateTime('UTC')} AND slot_start < {end_slot:DateTime('UTC')}) AS slots
LEFT JOIN
(
    SELECT slot_start, lower, upper
    FROM verdicts FINAL
    WHERE slot_start >= {first_slot:DateTime('UTC')} AND slot_start < {end_slot:DateTime('UTC')}
      AND metric = {metric:String} AND dimension = {dimension:String} AND dimension_value = {dimension_value:String}
) AS bands ON bands.slot_start = slots.slot_start
ORDER BY slot_start
