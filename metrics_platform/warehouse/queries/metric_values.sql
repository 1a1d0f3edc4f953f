-- The values of a source's metrics in [start, end), for the whole product and by slice, from one scan of its events.
--
-- Events are first folded into cells: one for each combination of slices. A cell keeps the state of each aggregate, so
-- that the value of a slice is merged from its cells, and distinct users stay distinct. Cells are identified by one hash
-- of what their slices are computed from. Names beside the source's own columns begin with `platform_`, since a source
-- may well have a column called `bucket`.
WITH
cells AS
(
    SELECT
        $bucket AS platform_bucket,
        $cell_key AS platform_cell,
        $cell_columns
    FROM $rows AS platform_events
    WHERE time >= {start:DateTime('UTC')} AND time < {end:DateTime('UTC')}
    GROUP BY platform_bucket, platform_cell
),
sliced AS
(
    SELECT
        platform_bucket AS bucket,
        slice.1 AS slice_dimension,
        -- Values that are not among the day's slices are `other`.
        if(slice.1 = 'total' OR slice.2 = 'unknown' OR slice IN (
               SELECT (dimension, dimension_value) FROM slice_values
               WHERE event_date = {event_date:Date} AND source = {source:String}
                 AND definition = {rows_definition:UInt64}),
           slice.2, 'other') AS slice_value,
        [
            $values
        ] AS metric_values
    FROM cells
    ARRAY JOIN $slices AS slice
    GROUP BY bucket, slice_dimension, slice_value
)
SELECT
    $key_columns,
    metric_value.1                AS metric,
    slice_dimension               AS dimension,
    slice_value                   AS dimension_value,
    -- The average of nothing is not a number: the value is unknown.
    if(isFinite(metric_value.2), metric_value.2, NULL) AS value,
    value AS numerator, NULL AS denominator, metric_value.3 AS definition, {version:UInt64} AS version, 0 AS is_deleted
FROM sliced
ARRAY JOIN metric_values AS metric_value
