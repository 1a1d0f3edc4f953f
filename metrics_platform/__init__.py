"""Compute, monitor and report the metrics of a news feed and a messenger, with Dagster and ClickHouse."""
