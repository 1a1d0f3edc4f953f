"""The morning report: the facts of a day, from the rows of `app_daily`. Pure: no Dagster, no ClickHouse."""
