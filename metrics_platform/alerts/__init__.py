"""The alert engine: conditions in, alerts out. Pure: neither Dagster, nor ClickHouse, nor a clock."""
