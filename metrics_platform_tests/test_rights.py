"""The rights the platform needs: with just those it names all works; with fewer, the missing one is named."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from metrics_platform.findings import Finding
from metrics_platform.local.clickhouse import running_server
from metrics_platform.settings import Settings, load_settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.inspection import inspect_warehouse, needed_rights
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.slot_migration import migrate_slot_tables
from metrics_platform.warehouse.source_rows import SourceError
from metrics_platform.warehouse.tables import MONITOR_TABLES, read_sql
from metrics_platform_tests.restricted_server import restricted_server
from metrics_platform_tests.warehouse.test_slot_migration import OLD_TABLES
from metrics_platform_tests.worlds import compute_all

DAY = datetime.date(2026, 1, 1)


def _settings(url: str) -> Settings:
    return load_settings(None, clickhouse_url=url, start_date=DAY)


GRANTS = [grant.removesuffix(" TO metrics") for grant in needed_rights(_settings("http://metrics:x@h:1/metrics"))]


def _problems(url: str) -> list[Finding]:
    settings = _settings(url)
    return [
        finding
        for finding in inspect_warehouse(Warehouse.from_settings(settings), settings)
        if finding.status == "problem"
    ]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's directory with source tables that an administrator made."""
    made = tmp_path_factory.mktemp("rights") / "data"
    with running_server(made) as server:
        warehouse = Warehouse.from_settings(_settings(server.url))
        for table in ("feed_actions", "message_actions"):
            warehouse.execute(read_sql(f"schema/{table}.sql"), {"database": "simulator", "table": table})
        warehouse.execute(
            "INSERT INTO simulator.feed_actions (user_id, action, time, os) "
            "VALUES (1, 'view', '2026-01-01 10:00:00', 'iOS')"
        )
    return made


def test_the_documented_rights_are_enough_for_doctor_load_and_migration(directory: Path) -> None:
    with restricted_server(directory, *GRANTS) as url:
        settings = _settings(url)
        warehouse = Warehouse.from_settings(settings)
        assert _problems(url) == []
        compute_all(warehouse, settings, [DAY])
        create_tables(warehouse, MONITOR_TABLES)
        assert warehouse.value("SELECT sum(views) FROM dimension_metrics WHERE dimension = 'os'") == 1
        for table in ("slot_metrics", "verdicts"):
            warehouse.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in OLD_TABLES:
            warehouse.execute(statement)
        warehouse.execute("INSERT INTO slot_metrics (slot_start, dimension) VALUES ('2026-01-01 10:00:00', 'total')")
        values, verdicts = migrate_slot_tables(warehouse, settings)
        assert (values.days, values.rows, verdicts.rows) == (1, 8, 0)
        for table in ("slot_metrics", "verdicts"):
            warehouse.execute(f"DROP TABLE {table}_before_catalog")


def test_doctor_names_the_grant_of_the_monitors_table_engine(directory: Path) -> None:
    with restricted_server(directory, *GRANTS, engines=("MergeTree",)) as url:
        (problem,) = _problems(url)
    assert problem.subject == "Rights"
    assert "TABLE ENGINE ON ReplacingMergeTree" in problem.detail


def test_an_unreadable_source_is_named_with_the_grant(directory: Path) -> None:
    with restricted_server(directory, *(grant for grant in GRANTS if "simulator" not in grant)) as url:
        settings = _settings(url)
        warehouse = Warehouse.from_settings(settings)
        problems = _problems(url)
        assert [problem.subject for problem in problems] == [
            "Source simulator.feed_actions", "Source simulator.message_actions",
        ]  # fmt: skip
        assert "GRANT SELECT ON simulator.feed_actions" in problems[0].remedy
        before = warehouse.value("SELECT count() FROM feed_user_daily")
        with pytest.raises(SourceError, match=r"GRANT SELECT ON simulator\.feed_actions TO"):
            compute_all(warehouse, settings, [DAY])
        assert warehouse.value("SELECT count() FROM feed_user_daily") == before
        assert warehouse.value("SELECT count() FROM system.tables WHERE startsWith(name, 'staging__')") == 0
