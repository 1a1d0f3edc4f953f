-- Rows of the table that are no longer computed, such as a slice whose events were corrected. The new version marks
-- them as deleted.
SELECT
    * EXCEPT (version, is_deleted),
    {version:UInt64} AS version,
    1                AS is_deleted
FROM $table FINAL
WHERE event_date = {event_date:Date} AND $in_range
  AND has({metrics:Array(String)}, toString(metric))
  AND ($keys, metric, dimension, dimension_value) NOT IN (
      SELECT $keys, metric, dimension, dimension_value FROM {staging:Identifier})
