"""Making the tables: idempotent, only what is missing, and nothing of another shape is written to."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from metrics_platform.report.reading import read_app_days
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import SchemaMismatchError, create_database, create_tables
from metrics_platform.warehouse.tables import (
    APP_DAILY,
    METRIC_DAILY,
    SLOT_METRICS,
    VERDICTS,
    columns_of,
    daily_tables,
    read_sql,
)

TABLES = daily_tables(("os", "gender", "age"))
NINE_COLUMNS = [
    "event_date", "dimension", "dimension_value", "views", "likes",
    "messages_received", "messages_sent", "users_received", "users_sent",
]  # fmt: skip


@pytest.fixture
def warehouse(make_settings: Callable[..., Settings]) -> Warehouse:
    return Warehouse.from_settings(make_settings())


def test_tables_are_created_once_and_then_left_alone(warehouse: Warehouse) -> None:
    assert create_tables(warehouse, TABLES) == [table.name for table in TABLES]
    warehouse.execute("INSERT INTO os_slice SELECT '2026-01-01', 'os', 'iOS', 1, 2, 3, 4, 5, 6")
    assert create_tables(warehouse, TABLES) == []
    assert warehouse.value("SELECT count() FROM os_slice") == 1


def test_the_declared_columns_are_those_clickhouse_has(warehouse: Warehouse) -> None:
    create_tables(warehouse, TABLES)
    for table in TABLES:
        rows = warehouse.query(f"DESCRIBE TABLE `{table.name}`").rows
        actual = [(row["name"], row["type"], row["comment"]) for row in rows]
        assert actual == [(column.name, column.type, column.comment) for column in columns_of(table.file)]
        assert all(comment for _, _, comment in actual)


def test_the_final_table_has_exactly_its_nine_columns_in_order() -> None:
    assert [column.name for column in columns_of("dimension_metrics")] == NINE_COLUMNS
    types = {column.name: column.type for column in columns_of("dimension_metrics")}
    assert types.pop("event_date") == "Date"
    assert (types.pop("dimension"), types.pop("dimension_value")) == ("String", "String")
    assert set(types.values()) == {"Int64"}  # signed: a difference of two days never wraps around


def test_a_table_of_another_shape_is_refused_with_the_difference(warehouse: Warehouse) -> None:
    create_tables(warehouse, TABLES)
    warehouse.execute("ALTER TABLE os_slice DROP COLUMN likes, ADD COLUMN hates Int64")
    with pytest.raises(SchemaMismatchError) as refusal:
        create_tables(warehouse, TABLES)
    text = str(refusal.value)
    assert "likes Int64 is expected" in text
    assert "hates Int64 is there" in text
    assert "RENAME TABLE" in text


# As `app_daily` was made before WAU and MAU could be NULL.
OLD_APP_DAILY = read_sql("schema/app_daily.sql").replace("Nullable(Int64)", "Int64")
A_DAY = "INSERT INTO app_daily (event_date, app_dau, wau, mau, stickiness) VALUES ('2026-01-01', 5, 7, 9, 0.5)"


def _make_old(warehouse: Warehouse) -> None:
    create_tables(warehouse, [])
    create_database(warehouse, warehouse.database)
    warehouse.execute(OLD_APP_DAILY, {"table": "app_daily"})
    warehouse.execute(A_DAY)


def _assert_migrated(warehouse: Warehouse) -> None:
    rows = warehouse.query("DESCRIBE TABLE app_daily").rows
    assert [(row["name"], row["type"], row["comment"]) for row in rows] == [
        (column.name, column.type, column.comment) for column in columns_of("app_daily")
    ]
    (row,) = warehouse.query("SELECT app_dau, wau, mau, stickiness FROM app_daily").rows
    assert tuple(row.values()) == (5, 7, 9, 0.5)


def test_a_table_of_an_earlier_version_is_migrated_with_its_rows(warehouse: Warehouse) -> None:
    _make_old(warehouse)
    for created in ([table.name for table in TABLES if table.name != "app_daily"], []):
        assert create_tables(warehouse, TABLES) == created
        _assert_migrated(warehouse)


def test_a_migration_run_by_several_processes_at_once_is_run_once(warehouse: Warehouse) -> None:
    _make_old(warehouse)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: create_tables(warehouse, [APP_DAILY]), range(4)))
    _assert_migrated(warehouse)


def test_a_column_that_is_new_is_added_in_its_place(warehouse: Warehouse) -> None:
    create_tables(warehouse, TABLES)
    warehouse.execute(A_DAY)
    warehouse.execute("ALTER TABLE app_daily DROP COLUMN receivers, DROP COLUMN retention_d7")
    assert create_tables(warehouse, TABLES) == []
    _assert_migrated(warehouse)


def test_a_reader_of_a_table_that_waits_for_its_migration_is_told_to_run_it(warehouse: Warehouse) -> None:
    _make_old(warehouse)
    with pytest.raises(SchemaMismatchError, match="create-tables`, which migrates the table and keeps its rows"):
        read_app_days(warehouse, datetime.date(2026, 1, 1), datetime.date(2026, 1, 1))


def test_final_keeps_the_rows_of_every_day(warehouse: Warehouse) -> None:
    for table in (METRIC_DAILY, SLOT_METRICS, VERDICTS):
        create_tables(warehouse, [table])
        warehouse.execute(f"INSERT INTO {table.name} (event_date, version) VALUES ('2026-01-01', 2), ('2026-01-02', 1)")
        assert warehouse.value(f"SELECT count() FROM {table.name} FINAL") == 2
        key = warehouse.value(
            f"SELECT sorting_key FROM system.tables WHERE database = currentDatabase() AND name = '{table.name}'"
        )
        assert "event_date" in key.split(", ")  # so that FINAL merges each partition alone
