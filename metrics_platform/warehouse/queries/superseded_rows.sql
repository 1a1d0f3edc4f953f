-- All rows of a metric and slot come from one computation, so rows older than the newest version are obsolete:
-- two writers may have folded different values into `other`. The newest version marks them as deleted.
SELECT * EXCEPT (version, is_deleted, newest), newest AS version, 1 AS is_deleted
FROM
(
    SELECT *, max(version) OVER (PARTITION BY $keys, metric) AS newest
    FROM $table FINAL
    WHERE event_date = {event_date:Date} AND $in_range AND has({metrics:Array(String)}, toString(metric))
)
WHERE version < newest
