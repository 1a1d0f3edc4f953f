-- The day's slices that are still to be chosen: the values with the most events among the candidates, as long as their
-- dimension has room. Values that were chosen before stay.
SELECT
    {event_date:Date}        AS event_date,
    {source:String}          AS source,
    candidate_dimension      AS dimension,
    {rows_definition:UInt64} AS definition,
    candidate_value          AS dimension_value
FROM
(
    SELECT
        candidate_dimension, candidate_value, max(is_chosen) AS was_chosen,
        row_number() OVER (
            PARTITION BY candidate_dimension
            ORDER BY was_chosen DESC, sum(candidate_events) DESC, candidate_value) AS place
    FROM
    (
        SELECT candidate_dimension, candidate_value, candidate_events, 0 AS is_chosen
        FROM
        (
            $candidates
        )
        WHERE candidate_value NOT IN ('unknown', 'other', '')
        UNION ALL
        SELECT dimension, dimension_value, 0, 1
        FROM slice_values FINAL
        WHERE event_date = {event_date:Date} AND source = {source:String} AND definition = {rows_definition:UInt64}
    )
    GROUP BY candidate_dimension, candidate_value
)
WHERE was_chosen = 0 AND place <= transform(candidate_dimension, $dimension_names, $dimension_limits, 0)
