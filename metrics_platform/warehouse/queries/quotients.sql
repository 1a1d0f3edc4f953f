-- Quotients of two metrics, from the values in staging and, of metrics that are not computed now, from those that are
-- in the table already. A quotient over zero is unknown.
SELECT
    $keys,
    quotient.1                                                 AS metric,
    dimension,
    dimension_value,
    if(isFinite(numerator / denominator), numerator / denominator, NULL) AS value,
    if(isNaN(found[quotient.2]), NULL, found[quotient.2])      AS numerator,
    if(isNaN(found[quotient.3]), NULL, found[quotient.3])      AS denominator,
    quotient.4                                                 AS definition,
    {version:UInt64}                                           AS version,
    0                                                          AS is_deleted
FROM
(
    SELECT
        $keys, dimension, dimension_value,
        mapFromArrays(groupArray(toString(metric)), groupArray(ifNull(value, nan))) AS found
    FROM
    (
        SELECT $keys, metric, dimension, dimension_value, value
        FROM {staging:Identifier}
        UNION ALL
        SELECT $keys, metric, dimension, dimension_value, value
        FROM $table FINAL
        WHERE event_date = {event_date:Date} AND $in_range
          AND has({stored_parts:Array(String)}, toString(metric))
    )
    GROUP BY $keys, dimension, dimension_value
)
-- (quotient, numerator, denominator, definition)
ARRAY JOIN $quotients AS quotient
WHERE mapContains(found, quotient.2) AND mapContains(found, quotient.3)
