-- A value after the second in which it was seen: the greatest stamp is the latest value, and within a second the
-- greatest. NULL is unknown, and max() skips it. A text stands behind ten digits, a number in the lower half
-- of an integer.
number -> leftPad(toString(number), 10, '0')                                  AS ten_digits,
(seen_at, value) -> concat(ten_digits(toUnixTimestamp(seen_at)), value)       AS stamp,
stamped -> substring(stamped, 11)                                             AS value_of,
stamped -> toDateTime(toUInt32(substring(stamped, 1, 10)), 'UTC')             AS time_of,
(seen_at, number) -> bitShiftLeft(toInt64(toUnixTimestamp(seen_at)), 31) + if(number >= 0, number, NULL) AS number_stamp,
stamped -> toInt32(bitAnd(stamped, 2147483647))                               AS number_of,
stamped -> toDateTime(toUInt32(bitShiftRight(stamped, 31)), 'UTC')            AS number_time_of
