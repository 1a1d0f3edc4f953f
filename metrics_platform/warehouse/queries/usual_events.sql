-- How many events of the source each series has in a slot, on the average of the seven complete days before: the same for
-- every slot of a day, so that evaluating one slot and replaying the day agree.
SELECT
    toString(dimension)       AS dimension,
    toString(dimension_value) AS dimension_value,
    avg(value)                AS events
FROM slot_metrics FINAL
WHERE metric = {events:String}
  AND event_date >= {last_day:Date} - 7 AND event_date < {last_day:Date}
  AND has({dimensions:Array(String)}, toString(dimension))
  AND cityHash64(dimension, dimension_value) % {parts:UInt16} = {part:UInt16}
GROUP BY dimension, dimension_value
