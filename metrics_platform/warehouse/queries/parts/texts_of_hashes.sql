ANY LEFT JOIN
(
    -- The texts of each hash, from one event each.
    SELECT $text_hash AS text_hash, $text_columns
    FROM $rows
    WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
    LIMIT 1 BY text_hash
) AS texts USING (text_hash)
SETTINGS join_algorithm = 'hash', max_rows_in_join = $most_hashes, join_overflow_mode = 'throw'
