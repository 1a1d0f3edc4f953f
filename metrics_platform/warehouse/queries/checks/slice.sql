-- One dimension's slices add up to the merged table, and every value has one row.
SELECT
    (merged[1], slices[1]) AS `reconciles_with_users: views`,
    (merged[2], slices[2]) AS `reconciles_with_users: likes`,
    (merged[3], slices[3]) AS `reconciles_with_users: messages_received`,
    (merged[4], slices[4]) AS `reconciles_with_users: messages_sent`,
    (merged[5], slices[5]) AS `reconciles_with_users: users_received`,
    (merged[6], slices[6]) AS `reconciles_with_users: users_sent`,
    (distinct_values, rows) AS `values_are_valid: rows, one per value`,
    (0, empty_values)       AS `values_are_valid: empty values`,
    (0, negative)           AS `values_are_valid: rows with a negative measure`
FROM
    (SELECT $sums AS merged FROM user_daily WHERE event_date = {event_date:Date}) AS merged_table,
    (SELECT $sums AS slices, count() AS rows, uniqExact(dimension_value) AS distinct_values,
            countIf(dimension_value = '') AS empty_values, $negative AS negative
     FROM {staging:Identifier}) AS staged
