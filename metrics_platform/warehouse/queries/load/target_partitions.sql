-- The partitions of a staging table, with the highest block number and the rows that each has in the target.
SELECT
    staged.partition_id                                AS partition_id,
    if(target.parts = 0, -1, target.highest_block)     AS highest_block,
    target.rows                                        AS rows
FROM
(
    SELECT DISTINCT partition_id
    FROM system.parts
    WHERE database = {database:String} AND table = {staging:String} AND active AND rows > 0
) AS staged
LEFT JOIN
(
    SELECT partition_id, count() AS parts, max(max_block_number) AS highest_block, sumIf(rows, active) AS rows
    FROM system.parts
    WHERE database = {database:String} AND table = {target:String}
    GROUP BY partition_id
) AS target ON target.partition_id = staged.partition_id
ORDER BY partition_id
