-- Parts of a staging table whose rows are all in the target's partition, too, each at least as often.
SELECT part, partition_id, sum(in_part) AS rows
FROM
(
    SELECT _part AS part, _partition_id AS partition_id, sipHash128(formatRow('TSV', *)) AS content, count() AS in_part
    FROM {database:Identifier}.{staging:Identifier}
    GROUP BY part, partition_id, content
) AS staged
LEFT JOIN
(
    SELECT _partition_id AS partition_id, sipHash128(formatRow('TSV', *)) AS content, count() AS in_target
    FROM {database:Identifier}.{target:Identifier}
    WHERE _partition_id IN {partition_ids:Array(String)}
    GROUP BY partition_id, content
) AS target USING (partition_id, content)
GROUP BY part, partition_id
HAVING min(in_target >= in_part)
ORDER BY part
