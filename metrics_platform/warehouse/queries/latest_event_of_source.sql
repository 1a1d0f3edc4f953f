-- The latest event of a source in [from_time, until_time]; NULL: there is none. Events from the future, from a
-- wrong clock, are ignored.
SELECT maxOrNull(toDateTime(time, 'UTC')) AS latest
FROM $rows
WHERE time >= {from_time:DateTime('UTC')} AND time <= {until_time:DateTime('UTC')}
