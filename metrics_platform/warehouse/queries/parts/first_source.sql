-- The source of the first event, within a second the greatest: earlier events have greater stamps.
nullIf(substring(max(concat(ten_digits(4294967295 - toUnixTimestamp(first_time)), ifNull(known_source, ''))), 11), '')
