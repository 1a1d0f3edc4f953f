-- A commit has ended: the same rows, one step on. What has ended before stays as it is.
INSERT INTO {table:Identifier}
SELECT * REPLACE ({step:UInt8} AS step, now64(3) AS changed_at)
FROM (SELECT * FROM {table:Identifier} FINAL WHERE load_id = {load_id:String} AND step = 1)
