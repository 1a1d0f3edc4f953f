-- How many different rows of a staged part occur less often in the target's partition than in the part.
SELECT countIf(in_target < in_part)
FROM
(
    SELECT countIf(is_staged) AS in_part, countIf(NOT is_staged) AS in_target
    FROM
    (
        SELECT sipHash128(formatRow('TSV', *)) AS content, true AS is_staged
        FROM {database:Identifier}.{staging:Identifier}
        WHERE _part = {part:String}
        UNION ALL
        SELECT sipHash128(formatRow('TSV', *)) AS content, false AS is_staged
        FROM {database:Identifier}.{target:Identifier}
        WHERE _partition_id = {partition_id:String}
    )
    GROUP BY content
    HAVING in_part > 0
)
