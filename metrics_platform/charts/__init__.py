"""Charts: data in, PNG bytes out. Nothing here knows Dagster, ClickHouse or a channel."""
