-- All rows of a metric and slot come from one computation, so those of an older version than the newest are gone: two
-- writers may have folded different values into `other`. They are marked as deleted in the newest version.
SELECT * EXCEPT (version, is_deleted, newest), newest AS version, 1 AS is_deleted
FROM
(
    SELECT *, max(version) OVER (PARTITION BY $keys, metric) AS newest
    FROM $table FINAL
    WHERE event_date = {event_date:Date} AND $in_range AND has({metrics:Array(String)}, toString(metric))
)
WHERE version < newest
