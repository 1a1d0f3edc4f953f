"""The morning report: the facts of a day. No Dagster; only `reading.py` uses ClickHouse."""
