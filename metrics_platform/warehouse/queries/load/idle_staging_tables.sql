-- Staging tables of loads that nobody is using: no running query names them, and neither they nor their parts
-- have changed for a while.
SELECT tables.name AS name
FROM system.tables AS tables
LEFT JOIN
(
    SELECT table, max(modification_time) AS written_at
    FROM system.parts
    WHERE database = {database:String}
    GROUP BY table
) AS parts ON parts.table = tables.name
WHERE tables.database = {database:String}
  AND startsWith(tables.name, {prefix:String})
  AND greatest(tables.metadata_modification_time, parts.written_at) <= now() - toIntervalSecond({idle_seconds:UInt32})
  AND NOT arrayExists(
      running -> position(running, tables.name) > 0,
      (SELECT groupArray(query) FROM system.processes WHERE query_id != queryID()))
