-- When a file with the same bytes was loaded into the same table, latest first.
SELECT load_id, changed_at, file
FROM {table:Identifier} FINAL
WHERE step = 2 AND sha256 = {sha256:String} AND database = {database:String} AND target = {target:String}
ORDER BY changed_at DESC
LIMIT 1
