-- Of the first event, of several in that second the greatest: the earlier, the greater.
nullIf(substring(max(concat(ten_digits(4294967295 - toUnixTimestamp(first_time)), ifNull(known_source, ''))), 11), '')
