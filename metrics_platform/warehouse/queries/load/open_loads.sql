-- Commits that were begun and not ended, oldest first.
SELECT *
FROM {table:Identifier} FINAL
WHERE step = 1
ORDER BY changed_at, load_id, source
