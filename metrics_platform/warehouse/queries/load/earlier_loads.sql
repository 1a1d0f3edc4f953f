-- When a file with the same bytes, or with the same rows, was loaded into the same table; latest first.
SELECT changed_at, file
FROM {table:Identifier} FINAL
WHERE step = 2
  AND (sha256 = {sha256:String} OR content = {content:String} AND content != '')
  AND database = {database:String} AND target = {target:String}
ORDER BY changed_at DESC
LIMIT 1
