-- Rows of a file as text, split into trimmed fields. Blank lines are not rows.
SELECT
    line,
    text,
    problem,
    arrayMap(
        field -> if(
            startsWith(field, '"') AND match(field, '^"(?:[^"]|"")*"$'),
            trim(BOTH ' \t' FROM replaceAll(substring(field, 2, length(field) - 2), '""', '"')),
            field),
        arrayMap(
            field -> trim(BOTH ' \t\r' FROM field),
            -- The pattern is slow, so it is not matched on rows without quotes.
            if(
                position(text, '"') = 0 OR {delimiter} = '\x1F',
                splitByChar({delimiter}, text),
                extractAll(
                    concat({delimiter}, text),
                    concat(
                        '[', {delimiter}, ']( *"(?:[^"]|"")*"[^', {delimiter}, ']*|[^', {delimiter}, ']*)'))))) AS fields
FROM input('line UInt64, text String, problem String')
WHERE trim(BOTH ' \t\r' FROM text) != ''
