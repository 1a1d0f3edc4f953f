"""The detectors: numbers in, verdicts out. Nothing here depends on ClickHouse, Dagster or messages."""
