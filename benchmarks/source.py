"""Made-up events in a ClickHouse of their own."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metrics_platform.catalog import load_catalog
from metrics_platform.loading.events import create_source_tables
from metrics_platform.local.clickhouse import EmbeddedServer, running_server
from metrics_platform.settings import Settings, load_settings
from metrics_platform.table_names import parse_table_name
from metrics_platform.time_windows import Day, day_of
from metrics_platform.warehouse.catalog_check import CheckedCatalog, check_catalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import create_database

# As in a product of this kind: 33 actions a day and user who came, 43 actions for one message.
ACTIONS_A_USER = 33
ACTIONS_A_MESSAGE = 43
KNOWN_FOR_ONE_ACTIVE = 5
DATE = datetime.date(2026, 11, 19)
ZONE = "Europe/Moscow"


@contextmanager
def empty_clickhouse() -> Iterator[EmbeddedServer]:
    """An embedded ClickHouse in a temporary folder, for the time of a `with` block."""
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder) / "clickhouse") as server:
        yield server


def settings_of(url: str, name: str, start_date: datetime.date, **more: Any) -> Settings:
    """The platform's settings for the events in the database `source_<name>`; its tables are in `metrics_<name>`."""
    return load_settings(
        None,
        clickhouse_url=f"{url.rsplit('/', 1)[0]}/metrics_{name}",
        feed_table=f"source_{name}.feed_actions",
        messages_table=f"source_{name}.message_actions",
        start_date=start_date,
        timezone=ZONE,
        **more,
    )


def create_source(settings: Settings) -> Warehouse:
    """The databases and the empty tables of events; a client."""
    warehouse = Warehouse.from_settings(settings)
    create_database(warehouse, warehouse.database)
    create_source_tables(settings, warehouse)
    return warehouse


def source_database(settings: Settings) -> str:
    """The database of the events."""
    return parse_table_name(settings.feed_table).database


def checked_catalog(warehouse: Warehouse, settings: Settings) -> CheckedCatalog:
    """The catalogue of these settings, checked against the source."""
    return check_catalog(warehouse, load_catalog(settings))


def write_day(warehouse: Warehouse, settings: Settings, date: datetime.date, events: int) -> Day:
    """Write a day of `events` actions in the feed, and the messages that go with them."""
    day = day_of(date, settings.zone)
    database = source_database(settings)
    parameters = {
        "database": database,
        "seed": date.toordinal(),
        "events": events,
        "messages": max(1, events // ACTIONS_A_MESSAGE),
        "users": max(1, events // ACTIONS_A_USER),
        "day_start": f"{day.start:%Y-%m-%d %H:%M:%S}",
    }
    for name in ("feed_events", "message_events"):
        warehouse.execute(read_query(name), parameters, operation=f"Making {name}")
    for table in ("feed_actions", "message_actions"):
        warehouse.execute(f"OPTIMIZE TABLE {database}.{table} FINAL")
    return day


def write_evenly(
    warehouse: Warehouse, settings: Settings, start: datetime.datetime, end: datetime.datetime, events: int
) -> None:
    """Write `events` actions in the feed, and a tenth as many messages, spread evenly over [start, end)."""
    parameters = {
        "database": source_database(settings),
        "start": f"{start:%Y-%m-%d %H:%M:%S}",
        "end": f"{end:%Y-%m-%d %H:%M:%S}",
    }
    for name, rows in (("even_events", events), ("even_messages", max(1, events // 10))):
        warehouse.execute(read_query(name), {**parameters, "rows": rows}, operation=f"Making {name}")


def know_more_users(warehouse: Warehouse, date: datetime.date, events: int) -> None:
    """Add users to the snapshot of a day: five times as many as the given events have."""
    parameters = {"date": date, "known": KNOWN_FOR_ONE_ACTIVE * events // ACTIONS_A_USER}
    warehouse.execute(read_query("known_users"), parameters, operation="Making users who are known")


def read_query(name: str) -> str:
    """A query of `benchmarks/queries`."""
    return (Path(__file__).parent / "queries" / f"{name}.sql").read_text(encoding="utf-8")
