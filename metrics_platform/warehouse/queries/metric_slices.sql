-- A metric of the day by slice, for some days.
SELECT event_date, toString(dimension) AS slice_dimension, toString(dimension_value) AS slice_value,
       ifNull(numerator, value) AS above, denominator AS below
FROM metric_daily FINAL
WHERE metric = {metric:String} AND dimension != 'total' AND event_date BETWEEN {first:Date} AND {last:Date}
