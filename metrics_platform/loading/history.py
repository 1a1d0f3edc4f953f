"""The record of loads, `load_history`: what makes the commit of two tables and many partitions one event.

A load is committed from the moment its rows stand here as *committing*: one INSERT of one block, so for both
files or for none. Whoever finds them so later completes what is missing. The same rows tell when a file with
the same bytes was loaded before.
"""

from __future__ import annotations

import datetime
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from metrics_platform.table_names import TableName
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import UNKNOWN_DATABASE, WarehouseError
from metrics_platform.warehouse.schema import create_database
from metrics_platform.warehouse.tables import read_sql

TABLE = "load_history"
COMMITTING, COMMITTED, GIVEN_UP = 1, 2, 3


@dataclass(frozen=True)
class Entry:
    """One source of one load, as it stands in `load_history`; see its columns' comments."""

    load_id: str
    source: str
    step: int
    changed_at: datetime.datetime
    file: str
    sha256: str
    rows: int
    rejected: int
    first_time: datetime.datetime
    last_time: datetime.datetime
    database: str
    target: str
    staging: str
    partition_ids: list[str]
    highest_blocks: list[int]
    rows_before: list[int]
    owner: str

    @property
    def target_name(self) -> str:
        """database.table"""
        return str(TableName(self.database, self.target))

    @property
    def since(self) -> str:
        """When the step was reached, for people."""
        return f"{self.changed_at:%Y-%m-%d %H:%M:%S} UTC"


def create(warehouse: Warehouse) -> None:
    """Create the table, and the platform's database, where they are missing.

    Asks first, since an account may not be allowed to create what somebody else has created.
    """
    try:
        there = warehouse.value(
            "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
            {"table": TABLE},
            doing="Looking for load_history",
        )
    except WarehouseError as error:
        if error.code != UNKNOWN_DATABASE:
            raise
        create_database(warehouse, warehouse.database)
        there = False
    if not there:
        sql = read_sql("queries/load/create_load_history.sql")
        warehouse.execute(sql, {"table": TABLE}, doing="Creating table load_history", repeatable=True)


def open_loads(warehouse: Warehouse) -> dict[str, list[Entry]]:
    """The loads whose commit was begun and not ended, by load id, oldest first."""
    sql = read_sql("queries/load/open_loads.sql")
    found: dict[str, list[Entry]] = {}
    for row in warehouse.query(sql, {"table": TABLE}, doing="Looking for interrupted loads").rows:
        entry = Entry(**{name: _plain(value) for name, value in row.items()})
        found.setdefault(entry.load_id, []).append(entry)
    return found


def earlier_load(warehouse: Warehouse, sha256: str, database: str, target: str) -> dict[str, Any] | None:
    """The latest load of a file with these bytes into this table: `load_id`, `changed_at` (UTC) and `file`."""
    rows = warehouse.query(
        read_sql("queries/load/earlier_loads.sql"),
        {"table": TABLE, "sha256": sha256, "database": database, "target": target},
        doing="Looking for earlier loads of the file",
    ).rows
    return rows[0] if rows else None


def begin(warehouse: Warehouse, entries: Sequence[Entry]) -> None:
    """Record that these entries are being committed: from here on they will be loaded, by whomever."""
    names = [field.name for field in fields(Entry)]
    rows = [[getattr(entry, name) for name in names] for entry in entries]
    warehouse.run(
        lambda client: client.insert(TABLE, rows, column_names=names),
        doing="Committing the load",
        repeatable=True,  # the same rows again replace themselves
    )


def end(warehouse: Warehouse, load_id: str, step: int) -> None:
    """Record that a load is committed, or given up."""
    sql = read_sql("queries/load/end_load.sql")
    parameters = {"table": TABLE, "load_id": load_id, "step": step}
    warehouse.execute(sql, parameters, doing="Recording the load", repeatable=True)


def this_process() -> str:
    """Which process this is: host, process namespace (containers share host names, not namespaces), number."""
    return f"{_here()}:{os.getpid()}"


def is_dead(owner: str) -> bool:
    """Whether a process is surely gone; false where it ran elsewhere, or its number is in use again."""
    here, _, number = owner.rpartition(":")
    if here != _here() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def _here() -> str:
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}:{namespace}"


def _plain(value: Any) -> Any:
    """FixedString comes as bytes, and times come as UTC without saying so."""
    if isinstance(value, bytes):
        return value.decode()
    return value.replace(tzinfo=datetime.UTC) if isinstance(value, datetime.datetime) else value
