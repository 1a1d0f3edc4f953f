-- How many events each value of a dimension has in [from, until), counted in the source.
SELECT
    slice.1      AS candidate_dimension,
    slice.2      AS candidate_value,
    sum(platform_count) AS candidate_events
FROM
(
    SELECT $cell_key AS platform_cell, $cell_columns, count() AS platform_count
    FROM $rows AS platform_events
    WHERE time >= {from:DateTime('UTC')} AND time < {until:DateTime('UTC')}
    GROUP BY platform_cell
)
ARRAY JOIN $slices AS slice
GROUP BY candidate_dimension, candidate_value
