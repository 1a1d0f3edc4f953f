-- A commit has ended: the same rows, one step on.
INSERT INTO {table:Identifier}
SELECT * REPLACE ({step:UInt8} AS step, now64(3) AS changed_at)
FROM {table:Identifier} FINAL
WHERE load_id = {load_id:String}
