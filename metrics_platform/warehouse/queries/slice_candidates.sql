-- How many events each value of a dimension has in [from, until), counted in the source.
SELECT
    $dimension           AS candidate_dimension,
    $value               AS candidate_value,
    sum(platform_count)  AS candidate_events
FROM
(
    SELECT $cell_key AS platform_cell, $cell_columns, count() AS platform_count
    FROM $rows AS platform_events
    WHERE time >= {from:DateTime('UTC')} AND time < {until:DateTime('UTC')}
    GROUP BY platform_cell
)
GROUP BY candidate_value
