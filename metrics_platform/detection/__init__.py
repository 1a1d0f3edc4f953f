"""The detectors: numbers in, answers out. Nothing here knows ClickHouse, Dagster or messages."""
