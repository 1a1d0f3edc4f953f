-- What of a staging table has not been moved yet. Merging is off there, so a part stays what it was.
SELECT partition_id, name, rows, hash_of_all_files AS hash
FROM system.parts
WHERE database = {database:String} AND table = {staging:String} AND active AND rows > 0
ORDER BY partition_id, name
