-- How a field of a file is read: functions over its text `v`, each NULL where the text is not such a value.
WITH
    v -> v IN ('', '\\N') AS is_empty,
    v -> lower(v) IN ('', '\\n', 'null', 'none', 'nan', 'na', '<na>') AS is_no_number,
    v -> concat('''', substringUTF8(v, 1, 60), if(lengthUTF8(v) > 60, '…', ''), '''') AS shown,
    -- Also `25.0`. No pattern captures it, since that takes ten times as long.
    v -> if(position(v, '.') > 0 AND match(v, '[.]0*$'), substring(v, 1, position(v, '.') - 1), v) AS without_zeros,
    v -> toInt128OrNull(if(length(v) > 25, '', without_zeros(v))) AS whole_number,
    v -> if(lower(v) IN ('view', 'like'), lower(v), NULL) AS action,
    -- 1 male, 0 female, -1 not known; NULL: not recognised.
    v -> multiIf(
        lower(v) IN ('1', '1.0', 'true', 'male', 'm'), 1,
        lower(v) IN ('0', '0.0', 'false', 'female', 'f'), 0,
        is_no_number(v) OR match(v, '^-1(\\.0*)?$'), -1,
        NULL) AS gender,
    v -> match(v, '^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]+)?)?$') AS is_local_time,
    v -> match(
        v,
        '^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]+)?)? ?(Z|UTC|GMT|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)$'
    ) AS is_zoned_time,
    v -> multiIf(
        is_local_time(v), parseDateTime64BestEffortOrNull(v, 6, {zone}),
        is_zoned_time(v), parseDateTime64BestEffortOrNull(v, 6, 'UTC'),
        match(v, '^[0-9]{1,10}([.][0-9]+)?$'), fromUnixTimestamp64Micro(
            toInt64OrZero(splitByChar('.', v)[1]) * 1000000
                + toInt64(1000000 * toFloat64OrZero(concat('0.', splitByChar('.', v)[2]))),
            'UTC'),
        match(v, '^[0-9]{13}([.]0*)?$'), fromUnixTimestamp64Milli(toInt64OrZero(substring(v, 1, 13)), 'UTC'),
        match(v, '^[0-9]{16}([.]0*)?$'), fromUnixTimestamp64Micro(toInt64OrZero(substring(v, 1, 16)), 'UTC'),
        match(v, '^[0-9]{19}$'), fromUnixTimestamp64Micro(intDiv(toInt64OrZero(v), 1000), 'UTC'),
        NULL) AS instant,
    -- To the minute, as clocks in the file's zone show it. In UTC no time is skipped.
    t -> formatDateTime(t, '%Y-%m-%d %H:%i', {zone}) AS clock,
    (v, t) -> {zone} != 'UTC' AND is_local_time(v) AND clock(t) != replaceOne(substring(v, 1, 16), 'T', ' ') AS is_skipped_by_clocks,
    (v, t) -> multiIf(
        isNull(t) AND match(v, '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'), 'it has no time of day; write it as 2026-01-05 10:00',
        isNull(t) AND match(v, '^[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{2,4}'),
        'day and month are ambiguous; write it as 2026-01-05 10:00:00',
        isNull(t) AND match(v, '^[0-9]+$'),
        'Unix time has 10 digits in seconds, 13 in milliseconds, 16 in microseconds, 19 in nanoseconds',
        isNull(t), 'expected 2026-01-05 10:00:00, perhaps with an offset (+03:00, Z, UTC), or Unix time',
        NOT t BETWEEN toDateTime64(0, 6, 'UTC') AND toDateTime64(4294967295.999999, 6, 'UTC'),
        'expected a time from 1970 to 2106',
        is_skipped_by_clocks(v, t), concat('clocks in ', {zone}, ' skip this time'),
        NOT {future} AND t > now() + toIntervalDay(1), 'it is in the future; --future loads such events',
        '') AS time_problem
