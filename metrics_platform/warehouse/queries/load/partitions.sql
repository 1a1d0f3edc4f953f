-- The partitions of a staging table with the rows that each has there, and in the target.
SELECT
    partition_id,
    sumIf(rows, table = {staging:String})  AS staged,
    sumIf(rows, table = {target:String})   AS in_target
FROM system.parts
WHERE database = {database:String} AND table IN ({staging:String}, {target:String}) AND active
GROUP BY partition_id
HAVING staged > 0
ORDER BY partition_id
