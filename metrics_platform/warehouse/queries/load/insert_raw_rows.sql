-- Rows of a file, as text and split into trimmed fields. They are split once, here, since they are read several times;
-- a DEFAULT would match the slow pattern on every row, also on those without quotes.
INSERT INTO {database:Identifier}.{table:Identifier} (line, text, problem, fields)
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
            if(
                position(text, '"') = 0 OR {delimiter:String} = '\x1F',
                splitByChar({delimiter:String}, text),
                extractAll(
                    concat({delimiter:String}, text),
                    concat(
                        '[', {delimiter:String}, ']( *"(?:[^"]|"")*"[^', {delimiter:String}, ']*|[^',
                        {delimiter:String}, ']*)'))))) AS fields
FROM input('line UInt64, text String, problem String')
FORMAT ArrowStream
