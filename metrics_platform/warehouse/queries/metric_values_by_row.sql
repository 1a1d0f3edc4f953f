-- The values in [start, end) of one metric whose SQL is more than one aggregate call, for the whole product and by
-- slice. It has no state that could be merged, so each event is counted once for each of its slices.
SELECT
    $key_columns,
    {metric:String}               AS metric,
    slice_dimension               AS dimension,
    slice_value                   AS dimension_value,
    if(isFinite(metric_value), metric_value, NULL) AS value,
    value                         AS numerator,
    NULL                          AS denominator,
    {definition:UInt64}           AS definition,
    {version:UInt64}              AS version,
    0                             AS is_deleted
FROM
(
    SELECT
        bucket,
        slice.1 AS slice_dimension,
        if(slice.1 = 'total' OR slice.2 = 'unknown' OR slice IN (
               SELECT (dimension, dimension_value) FROM slice_values
               WHERE event_date = {event_date:Date} AND source = {source:String}),
           slice.2, 'other') AS slice_value,
        toNullable(toFloat64($sql)) AS metric_value
    FROM
    (
        SELECT *, $bucket AS bucket
        FROM $rows AS mapped
        WHERE time >= {start:DateTime('UTC')} AND time < {end:DateTime('UTC')}
    ) AS events
    ARRAY JOIN $slices AS slice
    GROUP BY bucket, slice_dimension, slice_value
)
