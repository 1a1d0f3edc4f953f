"""The metrics desk of a product with a news feed and a messenger: a Dagster platform over ClickHouse."""
