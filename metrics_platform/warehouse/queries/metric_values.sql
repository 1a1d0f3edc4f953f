-- The values of a source's metrics in [start, end), for the whole product and by slice, from one scan of its events.
--
-- Events are first folded into cells: one for each combination of slices. A cell keeps the state of each aggregate, so
-- that the value of a slice is merged from its cells, and distinct users stay distinct. Cells are identified by one hash
-- of what their slices are computed from. A metric whose SQL is more than one aggregate call has no state that could be
-- merged: then each event is a cell of its own. Names beside the source's own columns begin with `platform_`, since a
-- source may well have a column called `bucket`.
WITH
cells AS
(
    SELECT
        $bucket AS platform_bucket,
        $cell_columns
    FROM $rows AS platform_events
    WHERE time >= {start:DateTime('UTC')} AND time < {end:DateTime('UTC')}
    $folding
),
sliced AS
(
    SELECT
        platform_bucket,
        platform_slice.1 AS platform_dimension,
        -- Values that are not among the day's slices are `other`.
        if(platform_slice.1 = 'total' OR platform_slice.2 = 'unknown' OR platform_slice IN (
               SELECT (dimension, dimension_value) FROM slice_values
               WHERE event_date = {event_date:Date} AND source = {source:String}
                 AND definition = {rows_definition:UInt64}),
           platform_slice.2, 'other') AS platform_value,
        [
            $values
        ] AS platform_metrics
    FROM cells
    ARRAY JOIN $slices AS platform_slice
    GROUP BY platform_bucket, platform_dimension, platform_value
)
SELECT
    $key_columns,
    platform_metric.1  AS metric,
    platform_dimension AS dimension,
    platform_value     AS dimension_value,
    -- The average of nothing is not a number: the value is unknown.
    if(isFinite(platform_metric.2), platform_metric.2, NULL) AS value,
    value AS numerator, NULL AS denominator, platform_metric.3 AS definition, {version:UInt64} AS version, 0 AS is_deleted
FROM sliced
ARRAY JOIN platform_metrics AS platform_metric
