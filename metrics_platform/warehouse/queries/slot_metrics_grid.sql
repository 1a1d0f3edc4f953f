-- The rest of the grid of [first_slot, end_slot): rows of zeros where nothing happened. `staging` holds the day's
-- slots that have events.
--
-- The total stands in every slot, so that a total outage is seen. A slice stands in every slot up to seven days after
-- its last event: long enough to see it die, and a value that somebody misspelt once does not stay for ever.
WITH
seen AS
(
    SELECT dimension, dimension_value, slot_start AS slot
    FROM {staging:Identifier}
    WHERE slot_start < {end_slot:DateTime('UTC')} AND views + likes + messages > 0
    UNION ALL
    SELECT dimension, dimension_value, max(slot_start) AS slot
    FROM slot_metrics
    WHERE slot_start >= toDateTime({event_date:Date}, 'UTC') - INTERVAL 7 DAY
      AND slot_start < toDateTime({event_date:Date}, 'UTC')
      AND views + likes + messages > 0
    GROUP BY dimension, dimension_value
),
-- From each slot with events to the next one, at most seven days.
spans AS
(
    SELECT
        dimension, dimension_value, slot,
        least(
            leadInFrame(slot, 1, {end_slot:DateTime('UTC')}) OVER (
                PARTITION BY dimension, dimension_value ORDER BY slot
                ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING),
            slot + INTERVAL 7 DAY) AS span_end
    FROM seen
    WHERE has({dimensions:Array(String)}, dimension) AND dimension != 'total'
    UNION ALL
    SELECT 'total', 'total', {first_slot:DateTime('UTC')}, {end_slot:DateTime('UTC')}
),
-- Sums of no rows at all: 0 for every count, NULL for every rate.
nothing AS
(
    SELECT * EXCEPT (slot_start, dimension, dimension_value) APPLY sum
    FROM slot_metrics
    WHERE false
)
SELECT
    arrayJoin(arrayMap(n -> slot + n * 900, range(toUInt32((span_end - slot) / 900)))) AS slot_start,
    dimension,
    dimension_value,
    nothing.*
FROM spans, nothing
WHERE slot_start >= {first_slot:DateTime('UTC')}
  AND (slot_start, dimension, dimension_value) NOT IN (
      SELECT slot_start, dimension, dimension_value FROM {staging:Identifier})
