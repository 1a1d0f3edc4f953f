-- Values of {slots} slots before {end} for every metric, in the total and in {cities} slices, as if they were computed.
INSERT INTO slot_metrics
    (event_date, slot_start, metric, dimension, dimension_value, value, numerator, denominator, definition, version)
WITH
    cityHash64(number, found.1, place) AS hash,
    100 * found.3 + hash % (100 * found.3) AS volume
SELECT
    toDate(toTimeZone(slot, {zone:String})),
    slot,
    found.1,
    if(place < 0, 'total', 'city'),
    if(place < 0, 'total', concat('City ', toString(place))),
    if(found.4, 0.2, volume),
    if(found.4, volume / 5, volume),
    if(found.4, toNullable(toFloat64(volume)), NULL),
    found.2,
    1
FROM
(
    SELECT {end:DateTime('UTC')} - (number + 1) * 900 AS slot, number FROM numbers({slots:UInt32})
)
ARRAY JOIN range(-1, toInt32({cities:UInt32})) AS place
-- (metric, definition, size, whether it is a quotient)
ARRAY JOIN arrayZip(
    {metrics:Array(String)}, {definitions:Array(UInt64)}, arrayMap(n -> 1 + n % 3, range(length({metrics:Array(String)}))),
    {quotients:Array(UInt8)}) AS found
SETTINGS max_partitions_per_insert_block = 1000
