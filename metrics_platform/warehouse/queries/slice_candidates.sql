-- How many events each value of a dimension has in [from, until), counted in the source.
SELECT
    slice.1      AS candidate_dimension,
    slice.2      AS candidate_value,
    sum(cell_events) AS candidate_events
FROM
(
    SELECT $cell_key AS cell_key, $cell_columns, count() AS cell_events
    FROM $rows AS events
    WHERE time >= {from:DateTime('UTC')} AND time < {until:DateTime('UTC')}
    GROUP BY cell_key
)
ARRAY JOIN $slices AS slice
GROUP BY candidate_dimension, candidate_value
