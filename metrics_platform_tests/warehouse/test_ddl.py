"""The statements that create and drop tables: engines, clusters, and staging tables that partitions move out of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from metrics_platform.connection import parse_url
from metrics_platform.settings import Settings, SettingsError, load_settings
from metrics_platform.warehouse.client import Done, Warehouse
from metrics_platform.warehouse.schema import create_database, create_staging, create_table, create_tables, drop_table
from metrics_platform.warehouse.tables import SLOT_METRICS, USERS, DailyTable

PATH = "'/clickhouse/tables/{database}/{table}', '{replica}'"


class _Recorder(Warehouse):
    """Keeps what would be executed."""

    def execute(self, sql: str, *_: Any, **__: Any) -> Done:
        self.statements = [*getattr(self, "statements", []), sql]
        return Done(0, 0)


def _recorder(**options: Any) -> _Recorder:
    return _Recorder(parse_url("http://u:p@localhost/metrics"), **options)


@pytest.mark.parametrize(
    ("setting", "table", "engine"),
    [
        ("MergeTree", USERS, "MergeTree"),
        ("MergeTree", SLOT_METRICS, "ReplacingMergeTree(version, is_deleted)"),
        ("ReplicatedMergeTree", USERS, "ReplicatedMergeTree"),
        ("ReplicatedMergeTree", SLOT_METRICS, "ReplicatedReplacingMergeTree(version, is_deleted)"),
        (f"ReplicatedMergeTree({PATH})", USERS, f"ReplicatedMergeTree({PATH})"),
        (
            f"ReplicatedMergeTree({PATH})",
            SLOT_METRICS,
            f"ReplicatedReplacingMergeTree({PATH}, version, is_deleted)",
        ),
    ],
)
def test_a_table_gets_the_engine_of_the_setting(setting: str, table: DailyTable, engine: str) -> None:
    warehouse = _recorder(engine=setting)
    create_table(warehouse, table, table.name)
    assert f"\nENGINE = {engine}\nPARTITION BY event_date\n" in warehouse.statements[0]
    assert "ON CLUSTER" not in warehouse.statements[0]


def test_with_a_cluster_tables_are_made_and_dropped_on_all_of_it() -> None:
    warehouse = _recorder(engine="ReplicatedMergeTree", cluster="main")
    create_table(warehouse, USERS, "users")
    drop_table(warehouse, "users", operation="Test")
    created, dropped = warehouse.statements
    assert "CREATE TABLE IF NOT EXISTS {table:Identifier} ON CLUSTER `main`\n(" in created
    assert dropped == "DROP TABLE IF EXISTS `users` ON CLUSTER `main` SYNC"


def test_a_staging_table_keeps_every_row_and_has_the_targets_keys(make_settings: Callable[..., Settings]) -> None:
    warehouse = Warehouse.from_settings(make_settings())
    create_tables(warehouse, [SLOT_METRICS])
    warehouse.execute("ALTER TABLE slot_metrics MODIFY SETTING merge_with_ttl_timeout = 7200")
    create_staging(warehouse, "staged", "slot_metrics", operation="Test")
    rows = warehouse.query(
        "SELECT name, engine, partition_key, sorting_key, primary_key, engine_full LIKE '%7200%' AS has_setting "
        "FROM system.tables WHERE database = currentDatabase() AND name IN ('staged', 'slot_metrics') ORDER BY name"
    ).rows
    target, staged = (tuple(row.values())[1:] for row in rows)
    assert (target[0], staged[0]) == ("ReplacingMergeTree", "MergeTree")
    assert target[1:] == staged[1:]
    for _ in range(2):
        warehouse.execute("INSERT INTO staged (event_date, metric) VALUES ('2026-01-01', 'views')")
    warehouse.execute("ALTER TABLE slot_metrics ATTACH PARTITION '2026-01-01' FROM staged")
    assert warehouse.value("SELECT count() FROM slot_metrics") == 2


def test_a_staging_table_of_a_table_without_partitions_can_be_made(make_settings: Callable[..., Settings]) -> None:
    warehouse = Warehouse.from_settings(make_settings())
    create_database(warehouse, warehouse.database)
    warehouse.execute(
        "CREATE TABLE target (a String, b UInt8, n UInt8) ENGINE = SummingMergeTree(n) PRIMARY KEY a ORDER BY (a, b)"
    )
    create_staging(warehouse, "staged", "target", operation="Test", repeatable=True)
    create_staging(warehouse, "staged", "target", operation="Test", repeatable=True)
    full = "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'staged'"
    assert warehouse.value(full).startswith("MergeTree PRIMARY KEY a ORDER BY (a, b)")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("clickhouse_engine", "Memory"),
        ("clickhouse_engine", "ReplicatedMergeTree('/one/path', '{replica}')"),
        ("clickhouse_engine", "ReplicatedMergeTree('/{table}', 'r'), '{replica}')"),
        ("clickhouse_cluster", "main` SYNC; DROP TABLE users"),
    ],
)
def test_an_engine_or_a_cluster_that_cannot_be_is_refused(field: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"METRICS_{field.upper()}"):
        load_settings(None, **{field: value})
