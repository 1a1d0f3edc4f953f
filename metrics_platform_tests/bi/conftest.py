"""A warehouse with the tables, and its reading account as BI tools use it: over HTTP, without rights to write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from metrics_platform.connection import Connection, parse_url
from metrics_platform.local.clickhouse import EmbeddedServer
from metrics_platform.local.clickhouse_directory import engine_file
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import METRIC_DAILY, MONITOR_TABLES, daily_tables

BI = Path(__file__).parents[2] / "bi"
READONLY_TABLES = re.findall(r"GRANT SELECT ON metrics\.(\w+)", engine_file("users.xml"))


@dataclass(frozen=True)
class Answer:
    """What ClickHouse answers to FORMAT JSON: the columns with their types, and the rows."""

    types: dict[str, str]
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Reader:
    """The reading account, asking as Redash's query runner does: a POST whose body ends with FORMAT JSON."""

    connection: Connection
    session: requests.Session

    def ask(self, sql: str) -> Answer:
        """The answer to a query; a refusal fails the test with ClickHouse's words."""
        account = {"user": self.connection.user, "password": self.connection.password}
        response = self.session.post(
            f"http://{self.connection.host}:{self.connection.port}",
            data=f"{sql}\nFORMAT JSON".encode(),
            params={**account, "database": self.connection.database},
            timeout=600,
        )
        assert response.ok, response.text
        answer = response.json()
        return Answer({column["name"]: column["type"] for column in answer["meta"]}, answer["data"])


@pytest.fixture(scope="session")
def _tables(clickhouse_server: EmbeddedServer) -> Warehouse:
    """The platform's account with the tables that BI reads: made once, which takes most of the time."""
    warehouse = Warehouse(parse_url(clickhouse_server.url))
    daily = [table for table in daily_tables(()) if table.name in ("app_daily", "dimension_metrics", "user_cohorts")]
    create_tables(warehouse, [*daily, METRIC_DAILY, *MONITOR_TABLES])
    return warehouse


@pytest.fixture
def warehouse(_tables: Warehouse) -> Iterator[Warehouse]:
    """The platform's account on empty tables; what a test writes is gone after it."""
    yield _tables
    for name in READONLY_TABLES:
        _tables.execute(f"TRUNCATE TABLE {name}")


@pytest.fixture(scope="session")
def reader(clickhouse_server: EmbeddedServer, _tables: Warehouse) -> Iterator[Reader]:
    """The reading account, which may read the database `metrics` and nothing else."""
    with requests.Session() as session:
        yield Reader(parse_url(clickhouse_server.readonly_url), session)


def insert(warehouse: Warehouse, table: str, columns: str, *rows: tuple[object, ...]) -> None:
    """Insert rows of these columns; None is NULL."""
    values = ", ".join(f"({', '.join('NULL' if cell is None else repr(cell) for cell in row)})" for row in rows)
    warehouse.execute(f"INSERT INTO {table} ({columns}) VALUES {values}")


def insert_values(warehouse: Warehouse, table: str, *rows: tuple[object, ...], version: int = 1) -> None:
    """Insert rows of `metric_daily` or `slot_metrics`, each from its day to its value; other columns as they come."""
    slot = "slot_start, " if table == "slot_metrics" else ""
    columns = f"event_date, {slot}metric, dimension, dimension_value, value, version"
    insert(warehouse, table, columns, *((*row, version) for row in rows))


def insert_slots(warehouse: Warehouse) -> None:
    """Slots around midnight in Kolkata, the later of which was corrected and has verdicts."""
    late = ("2026-11-27", "2026-11-27 18:15:00")
    insert_values(
        warehouse,
        "slot_metrics",
        ("2026-10-01", "2026-10-01 00:00:00", "revenue", "os", "iOS", 9),
        ("2026-11-19", "2026-11-19 18:15:00", "revenue", "os", "iOS", 1),  # 23:45 in Kolkata: the day before
        ("2026-11-20", "2026-11-19 18:30:00", "revenue", "os", "iOS", 2),
        (*late, "revenue", "os", "iOS", 7),
        ("2026-11-28", "2026-11-27 18:30:00", "revenue", "os", "iOS", 4),  # midnight: the day after
        (*late, "payers", "os", "iOS", 5),
        (*late, "arppu", "total", "total", None),
        (*late, "payments.events", "total", "total", 7),
    )
    insert_values(warehouse, "slot_metrics", (*late, "revenue", "os", "iOS", 3), version=2)
    insert(
        warehouse,
        "verdicts",
        "event_date, slot_start, metric, dimension, dimension_value, status, expected, lower, upper, version",
        (*late, "revenue", "os", "iOS", "anomalous", 9, 8, 10, 2),
        (*late, "revenue", "os", "iOS", "normal", 2, 1, 3, 1),
        (*late, "payers", "os", "iOS", "anomalous", 1, 1, 1, 1),
    )


def insert_incidents(warehouse: Warehouse) -> None:
    """One that was told and is over, one that is open, and one that is a part of it."""
    opened, over, now = "2026-11-21 10:00:00", "2026-11-21 10:30:00", "2026-11-22 10:15:00"
    insert(
        warehouse,
        "incidents",
        "incident, metric, dimension, dimension_value, state, severity, slot_start, opened_at, closed_at, "
        "worst_change, folded_into, told_at",
        ("aaaaa", "views", "total", "total", "open", "warning", opened, opened, None, -0.3, "", None),
        ("aaaaa", "views", "total", "total", "resolved", "critical", over, opened, over, -0.5, "", opened),
        ("bbbbb", "ctr", "os", "iOS", "open", "critical", now, "2026-11-22 10:00:00", None, 0.2, "", None),
        ("ccccc", "views", "os", "iOS", "open", "critical", now, "2026-11-22 09:45:00", None, 0.2, "bbbbb", None),
    )


def in_zone(sql: str, zone: str) -> str:
    """The query with the product's time zone put in, as the documents say to do it; fails where there is no place."""
    changed, places = re.subn("'UTC' AS product_timezone", f"'{zone}' AS product_timezone", sql)
    assert places == 1
    return changed
