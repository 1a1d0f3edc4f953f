-- Unfinished commits, oldest first.
SELECT
    load_id, source, file, content, rows, rejected, first_time, last_time, database, target, staging,
    partition_ids, rows_before, changed_at
FROM {table:Identifier} FINAL
WHERE step = 1
ORDER BY changed_at, load_id, source
