-- How many events of each source are in each of these slots; slots that were not computed have no row.
SELECT slot_start, replaceOne(toString(metric), '.events', '') AS source, toUInt64(value) AS rows
FROM slot_metrics FINAL
WHERE endsWith(toString(metric), '.events') AND dimension = 'total' AND slot_start IN {slots:Array(DateTime('UTC'))}
