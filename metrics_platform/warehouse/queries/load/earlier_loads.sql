-- When the same rows were loaded into the same table; latest first.
SELECT changed_at, file
FROM {table:Identifier} FINAL
WHERE step = 2
  AND content = {content:String}
  AND database = {database:String} AND target = {target:String}
ORDER BY changed_at DESC
LIMIT 1
