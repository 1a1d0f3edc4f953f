-- Tables of loads that no process is using: no running query names any table of the load, and none has changed for a
-- while. A load's id is the 12 characters after the prefix.
WITH substring(tables.name, length({prefix:String}) + 1, 12) AS load_id
SELECT tables.name AS name
FROM system.tables AS tables
LEFT JOIN
(
    SELECT table, max(modification_time) AS written_at
    FROM system.parts
    WHERE database = {database:String}
    GROUP BY table
) AS parts ON parts.table = tables.name
WHERE tables.database = {database:String} AND startsWith(tables.name, {prefix:String})
QUALIFY max(greatest(tables.metadata_modification_time, parts.written_at)) OVER (PARTITION BY load_id)
        <= now() - toIntervalSecond({idle_seconds:UInt32})
    AND NOT arrayExists(
        running -> position(running, load_id) > 0,
        (SELECT groupArray(query) FROM system.processes WHERE query_id != queryID()))
ORDER BY name
