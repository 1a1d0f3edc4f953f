-- A day of the `verdicts` of earlier versions, which had neither a day nor a version.
SELECT
    {event_date:Date} AS event_date,
    *,
    {version:UInt64}  AS version,
    0                 AS is_deleted
FROM {source:Identifier}
WHERE slot_start >= {start:DateTime('UTC')} AND slot_start < {end:DateTime('UTC')}
