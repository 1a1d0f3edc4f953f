"""The morning report: what it tells of a day, from the rows of `app_daily`. Pure: no Dagster, no ClickHouse."""
