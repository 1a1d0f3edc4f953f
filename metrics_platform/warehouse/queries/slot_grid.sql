-- The rest of the grid of [start, end): rows for slots in which a slice had no events. `staging` holds those with events.
--
-- The total is in every slot, so that a total outage is seen. A slice is in every slot up to seven days after its last
-- event: long enough to see it die, and short enough for a value that was misspelt once to go. A value that is folded into
-- `other` on this day is not on the grid: its events are in `other`, so zeros would be wrong.
WITH
seen AS
(
    SELECT metric, dimension, dimension_value, slot_start AS seen_at
    FROM {staging:Identifier}
    WHERE endsWith(metric, '.events') AND value > 0
    UNION ALL
    SELECT metric, dimension, dimension_value, max(slot_start) AS seen_at
    FROM slot_metrics FINAL
    WHERE has($events_metrics, toString(metric))
      AND event_date >= {event_date:Date} - 8 AND event_date <= {event_date:Date}
      AND slot_start >= {start:DateTime('UTC')} - INTERVAL 7 DAY AND slot_start < {start:DateTime('UTC')}
      AND value > 0
    GROUP BY metric, dimension, dimension_value
),
-- From each slot with events to the next one, at most seven days.
spans AS
(
    SELECT
        metric, dimension, dimension_value, seen_at,
        least(
            leadInFrame(seen_at, 1, {end:DateTime('UTC')}) OVER (
                PARTITION BY metric, dimension, dimension_value ORDER BY seen_at
                ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING),
            seen_at + INTERVAL 7 DAY) AS span_end
    FROM seen
    WHERE dimension != 'total'
      AND (dimension_value IN ('unknown', 'other') OR (metric, dimension, dimension_value) IN (
          SELECT concat(source, '.events'), dimension, dimension_value FROM slice_values
          WHERE event_date = {event_date:Date} AND definition = {rows_definition:UInt64}))
    UNION ALL
    SELECT arrayJoin($events_metrics) AS metric, 'total', 'total', {start:DateTime('UTC')}, {end:DateTime('UTC')}
),
cells AS
(
    SELECT
        metric AS events_metric,
        arrayJoin(arrayMap(n -> seen_at + n * 900, range(toUInt32((span_end - seen_at) / 900)))) AS slot,
        dimension AS slice_dimension,
        dimension_value AS slice_value
    FROM spans
)
SELECT
    {event_date:Date}             AS event_date,
    slot                          AS slot_start,
    empty_metric.2                AS metric,
    slice_dimension               AS dimension,
    slice_value                   AS dimension_value,
    empty_metric.3                AS value,
    value AS numerator, NULL AS denominator, empty_metric.4 AS definition, {version:UInt64} AS version, 0 AS is_deleted
FROM cells
-- (the count of the source's events, metric, value without events, definition)
ARRAY JOIN $empty_metrics AS empty_metric
WHERE empty_metric.1 = events_metric
  AND slot >= {start:DateTime('UTC')}
  AND ((slice_dimension = 'total') OR has({dimensions:Array(String)}, slice_dimension))
  AND (slot, empty_metric.2, slice_dimension, slice_value) NOT IN (
      SELECT slot_start, metric, dimension, dimension_value FROM {staging:Identifier})
