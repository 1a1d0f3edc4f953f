"""Dagster's UI explains every column of every table: its type, what it means, and what it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from metrics_platform.defs import build_definitions
from metrics_platform.settings import load_settings
from metrics_platform.warehouse.tables import MONITOR_TABLES, daily_tables

SETTINGS = load_settings(env_file=None)
DAILY = [table.name for table in daily_tables(SETTINGS.dimensions)]
NO_ASSETS = ("monitored_slots", "slice_values", "incident_answers")
TABLES = [*DAILY, *(table.name for table in MONITOR_TABLES if table.name not in NO_ASSETS)]
EXTRACTS = ("feed_user_daily", "message_user_daily")  # of sources, whose columns the catalogue maps
# What says of which kind a row is, and nothing that was computed.
KEYS = {"event_date", "dimension", "user_id"}


NODES: dict[str, Any] = {
    node.key.to_user_string(): node for node in build_definitions(SETTINGS).resolve_asset_graph().asset_nodes
}


def _columns(name: str) -> dict[str, dg.TableColumn]:
    return {column.name: column for column in NODES[name].metadata["dagster/column_schema"].columns}


def _lineage(name: str) -> dict[str, list[tuple[str, str]]]:
    found = NODES[name].metadata["dagster/column_lineage"].deps_by_column
    return {
        column: [(dep.asset_key.to_user_string(), dep.column_name) for dep in deps] for column, deps in found.items()
    }


@pytest.mark.parametrize("name", TABLES)
def test_what_a_column_comes_from_is_a_column_of_a_table_upstream(name: str) -> None:
    upstream = {key.to_user_string() for key in NODES[name].parent_keys}
    for column, origins in _lineage(name).items():
        assert column in _columns(name)
        assert len(set(origins)) == len(origins), column
        for table, origin in origins:
            assert table in upstream, column
            assert origin in _columns(table), column


@pytest.mark.parametrize("name", [name for name in DAILY if name not in EXTRACTS])
def test_every_number_says_what_it_comes_from(name: str) -> None:
    assert set(_columns(name)) - set(_lineage(name)) <= KEYS


@pytest.mark.parametrize("name", TABLES)
def test_every_column_says_what_it_means_and_shows_its_origins(name: str) -> None:
    for column in _columns(name).values():
        meaning, _, origins = (column.description or "").partition(" ← ")
        assert meaning, column.name
        shown = {tuple(origin.split(".")) for origin in origins.split(", ") if origin}
        assert shown == set(_lineage(name).get(column.name, []))


@pytest.mark.parametrize("name", [*DAILY, "slot_metrics", "metric_daily"])
def test_the_query_is_shown_and_its_file_is_linked(name: str) -> None:
    (reference,) = NODES[name].metadata["dagster/code_references"].code_references
    query = Path(reference.file_path).read_text(encoding="utf-8")
    assert query in NODES[name].metadata["sql"].md_str
