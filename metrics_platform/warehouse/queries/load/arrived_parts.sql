-- Parts of the target with the content of staged ones. A part that was merged away stays visible, inactive,
-- for some minutes.
SELECT partition_id, hash_of_all_files AS hash, min_block_number AS block
FROM system.parts
WHERE database = {database:String} AND table = {target:String}
  AND hash_of_all_files IN
  (
      SELECT hash_of_all_files
      FROM system.parts
      WHERE database = {database:String} AND table = {staging:String} AND active AND rows > 0
  )
