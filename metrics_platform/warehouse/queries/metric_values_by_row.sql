-- The values in [start, end) of one metric whose SQL is more than one aggregate call, for the whole product and by
-- slice. It has no state that could be merged, so each event is counted once for each of its slices. Names beside the
-- source's own columns begin with `platform_`.
SELECT
    $key_columns,
    {metric:String}               AS metric,
    platform_dimension            AS dimension,
    platform_value                AS dimension_value,
    if(isFinite(platform_metric), platform_metric, NULL) AS value,
    value AS numerator, NULL AS denominator, {definition:UInt64} AS definition, {version:UInt64} AS version, 0 AS is_deleted
FROM
(
    SELECT
        platform_bucket AS bucket,
        platform_slice.1 AS platform_dimension,
        if(platform_slice.1 = 'total' OR platform_slice.2 = 'unknown' OR platform_slice IN (
               SELECT (dimension, dimension_value) FROM slice_values
               WHERE event_date = {event_date:Date} AND source = {source:String}
                 AND definition = {rows_definition:UInt64}),
           platform_slice.2, 'other') AS platform_value,
        $value AS platform_metric
    FROM
    (
        SELECT *, $bucket AS platform_bucket
        FROM $rows AS platform_events
        WHERE time >= {start:DateTime('UTC')} AND time < {end:DateTime('UTC')}
    ) AS platform_events
    ARRAY JOIN $slices AS platform_slice
    GROUP BY platform_bucket, platform_dimension, platform_value
)
