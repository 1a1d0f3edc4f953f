-- End a commit: the same rows with the next status. Loads that have ended stay as they are.
INSERT INTO {table:Identifier}
SELECT * REPLACE ({step:UInt8} AS step, now64(3) AS changed_at)
FROM (SELECT * FROM {table:Identifier} FINAL WHERE load_id = {load_id:String} AND step = 1)
