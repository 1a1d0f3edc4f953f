-- A day of the wide `slot_metrics` of earlier versions as rows of the long one. Whatever is computed later replaces them.
SELECT
    {event_date:Date} AS event_date,
    slot_start,
    measure.1         AS metric,
    dimension,
    dimension_value,
    measure.2         AS value,
    measure.3         AS numerator,
    measure.4         AS denominator,
    measure.5         AS definition,
    {version:UInt64}  AS version,
    0                 AS is_deleted
FROM {source:Identifier}
-- (metric, value, numerator, denominator, definition)
ARRAY JOIN [
    $measures
] AS measure
WHERE slot_start >= {start:DateTime('UTC')} AND slot_start < {end:DateTime('UTC')}
