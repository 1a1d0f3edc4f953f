"""The only room that speaks to ClickHouse: connection, client, tables, the partition writer, the day's SQL."""
