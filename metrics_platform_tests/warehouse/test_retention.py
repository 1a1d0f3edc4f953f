"""Retention: what is older than the settings say goes, and nothing else does."""

from __future__ import annotations

import datetime
import itertools
import time
from collections.abc import Callable, Iterable

import pytest

from metrics_platform.settings import Settings
from metrics_platform.warehouse import retention
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.retention import drop_old_data
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import (
    METRIC_DAILY,
    MONITOR_TABLES,
    SLICE_VALUES,
    SLOT_METRICS,
    VERDICTS,
    columns_of,
    daily_tables,
)

TODAY = datetime.date(2026, 11, 27)


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(keep_slots_days=60, keep_incidents_days=100)


@pytest.fixture
def warehouse(settings: Settings) -> Warehouse:
    """The monitor's tables, empty."""
    made = Warehouse.from_settings(settings)
    create_tables(made, MONITOR_TABLES)
    return made


def fill(warehouse: Warehouse, tables: Iterable[str], dates: Iterable[object]) -> None:
    """A row on each of these days."""
    for table, date in itertools.product(tables, dates):
        names = [column.name for column in columns_of(_file(table)) if column.name in ("event_date", "slot_start")]
        values = ", ".join([f"'{date}'"] * len(names))
        warehouse.execute(f"INSERT INTO {table} ({', '.join(names)}) SELECT {values}")


def days(warehouse: Warehouse, table: str) -> list[str]:
    day = columns_of(_file(table))[0].name
    return [
        str(row["d"]) for row in warehouse.query(f"SELECT DISTINCT toDate({day}) AS d FROM {table} ORDER BY d").rows
    ]


def _file(table: str) -> str:
    return "slice" if table.endswith("_slice") else table


def test_old_days_of_slots_and_whole_old_months_of_incidents_are_dropped(
    warehouse: Warehouse, settings: Settings
) -> None:
    slots = [TODAY - datetime.timedelta(days=back) for back in (0, 59, 60, 61, 400)]
    fill(warehouse, ("slot_metrics", "verdicts"), slots)
    # A hundred days before the 27th of November are the 19th of August: all of July goes, August stays.
    fill(warehouse, ("incidents", "monitored_slots"), ["2026-07-31", "2026-08-01", TODAY])
    dropped = drop_old_data(warehouse, settings, TODAY)
    for table in ("slot_metrics", "verdicts"):
        assert days(warehouse, table) == ["2026-09-28", "2026-09-29", "2026-11-27"]
    for table in ("incidents", "monitored_slots"):
        assert days(warehouse, table) == ["2026-08-01", "2026-11-27"]
    assert dropped == [
        "incidents 202607", "monitored_slots 202607",
        "slot_metrics 2025-10-23", "slot_metrics 2026-09-27", "verdicts 2025-10-23", "verdicts 2026-09-27",
    ]  # fmt: skip
    assert drop_old_data(warehouse, settings, TODAY) == []


def test_old_days_of_users_go_except_those_that_older_days_continue(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(start_date="2026-08-15", keep_user_daily_days=60)
    warehouse = Warehouse.from_settings(settings)
    create_tables(warehouse, daily_tables(settings.dimensions))
    stored = ["2026-08-14", "2026-08-15", "2026-09-01", "2026-09-29", "2026-10-01", "2026-10-22", "2026-10-23"]
    fill(warehouse, ("users", "feed_user_daily", "user_daily", "app_daily"), stored)
    assert drop_old_data(warehouse, settings, TODAY) == []  # a backfill has just written them
    monkeypatch.setattr(retention, "_WRITTEN_HOURS", 0)
    time.sleep(1.1)  # ClickHouse's clock of parts has whole seconds
    drop_old_data(warehouse, settings, TODAY)
    assert days(warehouse, "users") == ["2026-08-14", "2026-09-01", "2026-10-01", "2026-10-23"]
    assert days(warehouse, "feed_user_daily") == ["2026-10-23"]
    assert days(warehouse, "user_daily") == ["2026-09-29", "2026-10-01", "2026-10-22", "2026-10-23"]
    assert days(warehouse, "app_daily") == stored
    drop_old_data(warehouse, settings, TODAY + datetime.timedelta(days=90))
    assert days(warehouse, "users")[-1] == "2026-10-23"  # the next night continues it


def test_the_results_are_kept_as_long_as_the_setting_says(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(keep_daily_days=60, keep_slots_days=90)
    warehouse = Warehouse.from_settings(settings)
    tables = (*daily_tables(settings.dimensions)[4:], METRIC_DAILY, SLICE_VALUES)
    create_tables(warehouse, tables)
    stored = ["2026-08-28", "2026-08-29", "2026-09-27", "2026-09-28", "2026-11-27"]  # TODAY is the 27th of November
    fill(warehouse, [table.name for table in tables], stored)
    drop_old_data(warehouse, settings, TODAY)
    assert {table.name: days(warehouse, table.name) for table in tables} == {
        **{table.name: stored[3:] for table in tables},
        "slice_values": stored[1:],
    }


def test_of_a_product_whose_events_have_ended_the_last_ones_stay(warehouse: Warehouse, settings: Settings) -> None:
    ended = settings.model_copy(update={"end_date": datetime.date(2004, 10, 26)})
    fill(warehouse, ["slot_metrics"], ["2004-10-26", "2004-08-01"])
    assert drop_old_data(warehouse, ended, TODAY) == ["slot_metrics 2004-08-01"]


def test_old_leftovers_of_any_table_are_dropped_and_other_tables_stay(warehouse: Warehouse, settings: Settings) -> None:
    for name in ("staging__city_slice__20261101__abc", "staging", "my_staging__table"):
        warehouse.execute(f"CREATE TABLE `{name}` (x UInt8) ENGINE = MergeTree ORDER BY x")
    assert drop_old_data(warehouse, settings, TODAY) == []  # it may be in use
    at_once = settings.model_copy(update={"keep_staging_hours": 0})
    assert drop_old_data(warehouse, at_once, TODAY) == ["staging__city_slice__20261101__abc"]


def test_clickhouse_merges_the_slots_of_a_day_that_nothing_writes(warehouse: Warehouse) -> None:
    slot_tables = [SLOT_METRICS.name, VERDICTS.name]
    for name in slot_tables:
        engine = "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {name:String}"
        settings = "min_age_to_force_merge_seconds = 7200, min_age_to_force_merge_on_partition_only = 1"
        assert settings in warehouse.value(engine, {"name": name})
        warehouse.execute(f"ALTER TABLE {name} MODIFY SETTING min_age_to_force_merge_seconds = 1")
    for _ in range(2):
        fill(warehouse, slot_tables, [TODAY - datetime.timedelta(days=back) for back in (2, 3, 4)])
    parts = (
        "SELECT count() FROM system.parts WHERE database = currentDatabase() AND active "
        "AND table IN {tables:Array(String)}"
    )
    deadline = time.monotonic() + 60
    while warehouse.value(parts, {"tables": slot_tables}) > 6:  # one for each table and day
        assert time.monotonic() < deadline
        time.sleep(0.2)
