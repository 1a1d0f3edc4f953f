-- What partitions of the target hold: their highest block number and their rows.
SELECT partition_id, max(max_block_number) AS highest_block, sumIf(rows, active) AS rows
FROM system.parts
WHERE database = {database:String} AND table = {target:String} AND partition_id IN {partition_ids:Array(String)}
GROUP BY partition_id
