(
    -- The actions and attributes of users: a row for each user and each combination of attributes in the user's rows.
    -- There are few, usually one, so attributes are computed and compared here and not for every event.
    SELECT
        user, first_time, last_time, $measure_names,
        $known_os        AS known_os,
        $known_gender    AS known_gender,
        $known_age       AS known_age,
        $known_country   AS known_country,
        $known_city      AS known_city,
        $known_exp_group AS known_exp_group,
        $known_source    AS known_source
    FROM
    (
        -- Texts are grouped by one hash of all of them: a short key makes it fast.
        SELECT
            $keys,
            $text_hash AS text_hash,
            $measures,
            toDateTime(min(time), 'UTC') AS first_time,
            toDateTime(max(time), 'UTC') AS last_time
        FROM $rows
        WHERE time >= {day_start:DateTime('UTC')} AND time < {day_end:DateTime('UTC')}
        GROUP BY $keys, text_hash
    ) AS sets
    $texts
)
