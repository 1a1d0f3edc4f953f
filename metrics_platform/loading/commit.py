"""The commit: write one record for both files, then move the staged partitions. The next load completes the rest.

MOVE PARTITION takes a partition out of staging and puts it into the target. The partitions left in staging are the work
that remains, so two processes can complete one load at the same time. Only a ClickHouse that dies during the statement
can leave a part in both tables.
"""

from __future__ import annotations

import datetime
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from typing import Any

from metrics_platform.loading.files import LoadError
from metrics_platform.table_names import TableName
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.partitions import STAGING_PREFIX, drop_idle_staging_tables
from metrics_platform.warehouse.tables import DailyTable, read_sql

HISTORY = DailyTable("load_history")
COMMITTING, COMMITTED, GIVEN_UP = 1, 2, 3
PREFIX = f"{STAGING_PREFIX}load__"
Say = Callable[[str], None]

# A restart of ClickHouse takes seconds. If it is down for longer, the next load completes the commit.
_WAITS = (1.0, 3.0, 6.0)
# A load may work for minutes on one of its tables, while the others are idle.
IDLE_SECONDS = 3600
# ClickHouse's clocks have whole seconds here.
_CLOCK_SLACK = 2
_UNKNOWN_TABLE = 60
_NEXT_TIME = (
    "Then run `metrics-platform load` again: it first completes this load, and does not load the same file twice."
)


@dataclass(frozen=True)
class Entry:
    """One file of a load, as in `load_history`."""

    load_id: str
    source: str
    file: str
    content: str
    rows: int
    rejected: int
    first_time: datetime.datetime
    last_time: datetime.datetime
    database: str
    target: str
    staging: str
    partition_ids: list[str]
    rows_before: list[int]
    changed_at: datetime.datetime


def earlier_load(warehouse: Warehouse, table: TableName, content: str) -> dict[str, Any] | None:
    """The latest load of the same rows into this table: `changed_at` (UTC) and `file`."""
    parameters = {"table": HISTORY.name, "content": content, "database": table.database, "target": table.table}
    sql = read_sql("queries/load/earlier_loads.sql")
    rows = warehouse.query(sql, parameters, operation="Looking for earlier loads of the file").rows
    return rows[0] if rows else None


def staged_partitions(warehouse: Warehouse, database: str, staging: str, target: str) -> list[dict[str, Any]]:
    """The partitions of a staging table: `partition_id`, rows `staged`, and rows `in_target`."""
    sql = read_sql("queries/load/partitions.sql")
    parameters = {"database": database, "staging": staging, "target": target}
    return warehouse.query(sql, parameters, operation="Reading the staged partitions").rows


def commit(warehouse: Warehouse, entries: Sequence[Entry], say: Say) -> None:
    """Load everything that is staged, or nothing. An interrupt (Ctrl-C, SIGTERM) waits until the commit is done.

    Raises:
        LoadError: says whether nothing was loaded or the next load completes it.
    """
    with _defer_signals(say):
        try:
            names = [field.name for field in fields(Entry)]
            rows = [[*(getattr(entry, name) for name in names), COMMITTING] for entry in entries]
            # One block, so both files or none. If it is sent twice, its rows replace each other.
            warehouse.run(
                lambda client: client.insert(HISTORY.name, rows, column_names=[*names, "step"]),
                operation="Committing the load",
                repeatable=True,
            )
            _complete(warehouse, entries)
        except WarehouseError as error:
            with suppress(WarehouseError):  # the first error is the one to report
                if not error.transient and _give_up_untouched(warehouse, entries):
                    raise LoadError(f"Nothing was loaded. {error}") from error
            raise LoadError(
                f"The load was interrupted during its commit, so some days may be loaded already. {error}\n{_NEXT_TIME}"
            ) from error


def complete_interrupted(warehouse: Warehouse, say: Say) -> list[Entry]:
    """Complete every load with an unfinished commit, oldest first. Returns the completed entries.

    Raises:
        WarehouseError: ClickHouse is down.
        LoadError: ClickHouse refuses to complete a load; the text says how to go on.
    """
    sql = read_sql("queries/load/open_loads.sql")
    loads: dict[str, list[Entry]] = {}
    for row in warehouse.query(sql, {"table": HISTORY.name}, operation="Looking for interrupted loads").rows:
        entry = Entry(**{**row, **times_in_utc(row)})
        loads.setdefault(entry.load_id, []).append(entry)
    completed: list[Entry] = []
    for entries in loads.values():
        files = " and ".join(entry.file for entry in entries)
        load = f"The interrupted load of {files} ({entries[0].changed_at:%Y-%m-%d %H:%M:%S} UTC)"
        if _complete_or_give_up(warehouse, entries, load):
            say(f"{load} was completed.")
            completed += entries
        else:
            say(f"{load} was given up: ClickHouse cannot complete it.")
    return completed


def drop_idle(warehouse: Warehouse, database: str) -> None:
    """Drop the leftovers of loads that were killed before their commit. Call it when no commit is interrupted."""
    target_warehouse = replace(warehouse, connection=replace(warehouse.connection, database=database))
    drop_idle_staging_tables(target_warehouse, PREFIX, IDLE_SECONDS)


def drop(warehouse: Warehouse, table: TableName) -> None:
    """Drop a staging table. If ClickHouse is down, a later load drops it."""
    try:
        warehouse.execute(f"DROP TABLE IF EXISTS {table.sql} SYNC", operation="Dropping a staging table")
    except WarehouseError as error:
        if not error.transient:
            raise


def _complete_or_give_up(warehouse: Warehouse, entries: Sequence[Entry], load: str) -> bool:
    exists = "SELECT count() FROM system.tables WHERE database = {database:String} AND name = {staging:String}"
    for entry in entries:
        if not warehouse.value(exists, {"database": entry.database, "staging": entry.staging}):
            _end(warehouse, entries, GIVEN_UP)
            return False
    try:
        _complete(warehouse, entries)
    except WarehouseError as error:
        if error.transient:
            raise
        if _give_up_untouched(warehouse, entries):
            return False
        tables = ", ".join(str(TableName(entry.database, entry.staging)) for entry in entries)
        raise LoadError(
            f"{load} cannot be completed. {error}\nThe missing rows are in {tables}. Fix the cause and load again, or "
            "drop one of these tables to abandon them."
        ) from error
    return True


def _complete(warehouse: Warehouse, entries: Sequence[Entry]) -> None:
    for wait in (*_WAITS, None):
        try:
            for entry in entries:
                for partition_id in _partitions_left(warehouse, entry):
                    target = TableName(entry.database, entry.target).sql
                    _alter(warehouse, entry, f"MOVE PARTITION ID '{partition_id}' TO TABLE {target}")
            _end(warehouse, entries, COMMITTED)
            return
        except WarehouseError as error:
            # The table does not exist any more: another load has just completed this one.
            if wait is None or not (error.transient or error.code == _UNKNOWN_TABLE):
                raise
            time.sleep(wait)


def _partitions_left(warehouse: Warehouse, entry: Entry) -> list[str]:
    """The partitions still to be moved. After a crash of ClickHouse, parts that are in the target leave staging."""
    partitions = staged_partitions(warehouse, entry.database, entry.staging, entry.target)
    if partitions and _has_restarted_since(warehouse, entry):
        before = dict(zip(entry.partition_ids, entry.rows_before, strict=True))
        grown = {row["partition_id"]: row["in_target"] - before[row["partition_id"]] for row in partitions}
        parts = warehouse.query(
            read_sql("queries/load/arrived_parts.sql"),
            {
                "database": entry.database,
                "staging": entry.staging,
                "target": entry.target,
                "partition_ids": [partition_id for partition_id, rows in grown.items() if rows > 0],
            },
            operation="Comparing the rows of an interrupted load",
        ).rows
        for part in parts:
            if grown[part["partition_id"]] >= part["rows"]:
                grown[part["partition_id"]] -= part["rows"]
                _alter(warehouse, entry, f"DROP PART '{part['part']}'")
        partitions = staged_partitions(warehouse, entry.database, entry.staging, entry.target)
    return [row["partition_id"] for row in partitions]


def _has_restarted_since(warehouse: Warehouse, entry: Entry) -> bool:
    begun_at = int(entry.changed_at.timestamp()) - _CLOCK_SLACK
    sql = "SELECT toUnixTimestamp(now()) - uptime() > {begun_at:Int64}"
    return bool(warehouse.value(sql, {"begun_at": begun_at}))


def _alter(warehouse: Warehouse, entry: Entry, action: str) -> None:
    statement = f"ALTER TABLE {TableName(entry.database, entry.staging).sql} {action}"
    warehouse.execute(statement, operation=f"Committing the load into {TableName(entry.database, entry.target)}")


def _give_up_untouched(warehouse: Warehouse, entries: Sequence[Entry]) -> bool:
    """Give up a load if all its rows are still in staging. Returns False if some have been moved."""
    for entry in entries:
        partitions = staged_partitions(warehouse, entry.database, entry.staging, entry.target)
        if sum(row["staged"] for row in partitions) != entry.rows:
            return False
    _end(warehouse, entries, GIVEN_UP)
    return True


def _end(warehouse: Warehouse, entries: Sequence[Entry], step: int) -> None:
    parameters = {"table": HISTORY.name, "load_id": entries[0].load_id, "step": step}
    sql = read_sql("queries/load/end_load.sql")
    warehouse.execute(sql, parameters, operation="Recording the load", repeatable=True)
    for entry in entries:
        drop(warehouse, TableName(entry.database, entry.staging))


def times_in_utc(row: Mapping[str, Any]) -> dict[str, datetime.datetime]:
    """Convert the times of a row from ClickHouse to UTC. Times in UTC come without an offset."""
    times = {name: row[name] for name in ("first_time", "last_time", "changed_at")}
    return {name: (time if time.tzinfo else time.replace(tzinfo=datetime.UTC)) for name, time in times.items()}


@contextmanager
def _defer_signals(say: Say) -> Iterator[None]:
    """Defer Ctrl-C and SIGTERM until the end of the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = {number: signal.signal(number, lambda got, _: held.append(got)) for number in _INTERRUPTS}
    try:
        yield
    finally:
        for stopped, handler in before.items():
            signal.signal(stopped, handler or signal.SIG_DFL)
        if held:
            say("The interrupt waited for the commit.")
        for number in held:
            signal.raise_signal(number)


_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
