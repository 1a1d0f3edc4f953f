"""A renamed metric keeps its history and its incidents."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest

from metrics_platform.catalog import load_catalog
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Row, Warehouse
from metrics_platform.warehouse.renames import apply_renames
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import INCIDENTS, METRIC_DAILY, SLOT_METRICS, VERDICTS

_CATALOG = """
metrics:
  views: {enabled: false}
  ctr: {enabled: false}
  page_views: {source: feed_actions, sql: "countIf(action = 'view')", was: views}
"""


@pytest.fixture(params=[101])
def world(
    make_settings: Callable[..., Settings], tmp_path: Path, request: pytest.FixtureRequest
) -> tuple[Warehouse, Settings]:
    file = tmp_path / "catalog.yaml"
    file.write_text(_CATALOG, "utf-8")
    settings = make_settings(catalog=file)
    warehouse = Warehouse.from_settings(settings)
    create_tables(warehouse, [SLOT_METRICS, METRIC_DAILY, VERDICTS, INCIDENTS])
    days = f"(SELECT toDate('2026-01-01') + number AS day FROM numbers({request.param}))"
    days += " ARRAY JOIN ['views', 'likes'] AS name"
    some = {"max_partitions_per_insert_block": 0}
    warehouse.execute(
        "INSERT INTO slot_metrics SELECT day, toDateTime(day, 'UTC'), name, 'total', 'total', toDayOfYear(day), "
        f"toDayOfYear(day), NULL, 7, 1, 0 FROM {days}",
        settings=some,
    )
    warehouse.execute(
        f"INSERT INTO metric_daily SELECT day, name, 'os', 'iOS', 1, 1, NULL, 7, 1, 0 FROM {days}", settings=some
    )
    warehouse.execute(
        "INSERT INTO verdicts (event_date, slot_start, metric, dimension, dimension_value, status, version) "
        f"SELECT day, toDateTime(day, 'UTC'), name, 'total', 'total', 'normal', 1 FROM {days}",
        settings=some,
    )
    warehouse.execute(
        "INSERT INTO incidents (slot_start, incident, metric, state) "
        "SELECT toDateTime('2026-05-01 10:00:00', 'UTC'), upper(name), name, 'open' FROM "
        "(SELECT arrayJoin(['views', 'likes']) AS name)"
    )
    return warehouse, settings


def _rows(warehouse: Warehouse, table: str, metric: str) -> list[Row]:
    return warehouse.query(
        f"SELECT * FROM {table} FINAL WHERE metric = {{metric:String}} ORDER BY ALL", {"metric": metric}
    ).rows


def test_history_and_incidents_move_to_the_new_name_and_others_stay(world: tuple[Warehouse, Settings]) -> None:
    warehouse, settings = world
    tables = ("slot_metrics", "metric_daily", "verdicts", "incidents")
    before = {table: _rows(warehouse, table, "views") for table in tables}
    others = {table: _rows(warehouse, table, "likes") for table in tables}
    assert apply_renames(warehouse, load_catalog(settings)) == ["views is now page_views: 303 rows moved"]
    for table in tables:
        assert _rows(warehouse, table, "page_views") == [{**row, "metric": "page_views"} for row in before[table]]
        assert _rows(warehouse, table, "views") == []
        assert _rows(warehouse, table, "likes") == others[table]
    assert apply_renames(warehouse, load_catalog(settings)) == []
    assert len(_rows(warehouse, "slot_metrics", "page_views")) == 101


@pytest.mark.parametrize("world", [2], indirect=True)
def test_a_rename_that_was_interrupted_is_completed(world: tuple[Warehouse, Settings]) -> None:
    warehouse, settings = world
    # As after a kill between two tables: one has moved, the others have not.
    warehouse.execute("TRUNCATE TABLE metric_daily")
    assert apply_renames(warehouse, load_catalog(settings)) == ["views is now page_views: 4 rows moved"]
    assert len(_rows(warehouse, "slot_metrics", "page_views")) == 2
    assert _rows(warehouse, "slot_metrics", "page_views")[0]["event_date"] == datetime.date(2026, 1, 1)
