"""The partition writer: staging → verify → swap, so that a reader never sees half a day or a day twice.

A day is computed into a staging table of its own, checked there, and swapped in by one `REPLACE PARTITION`
(or `DROP PARTITION` for a day without rows). Whatever dies on the way, the table keeps what it had; running
the day again gives the same rows. Staging tables have unique names, so that two runs of one day never mix;
what a killed run left is dropped by the next run that writes the table, once it has been idle for a while.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from string import Template
from typing import TYPE_CHECKING

from metrics_platform.warehouse.client import Parameters, Warehouse
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.schema import all_replicas, create_staging, drop_table
from metrics_platform.warehouse.tables import DailyTable

if TYPE_CHECKING:
    import pyarrow
    from clickhouse_connect.driver.client import Client

STAGING_PREFIX = "staging__"
# A live writer's longest pause between two statements is its retries' waits; dropping a paused writer's table
# only fails that writer, it never harms data.
IDLE_SECONDS = 60

_LEFTOVERS = """
SELECT tables.name AS name
FROM system.tables AS tables
LEFT JOIN
(
    SELECT table, max(modification_time) AS written_at
    FROM system.parts
    WHERE database = currentDatabase() AND startsWith(table, {prefix:String}) AND active
    GROUP BY table
) AS parts ON parts.table = tables.name
WHERE tables.database = currentDatabase()
  AND startsWith(tables.name, {prefix:String})
  AND greatest(tables.metadata_modification_time, parts.written_at) <= now() - toIntervalSecond({idle_seconds:UInt32})
  AND NOT arrayExists(
      running -> position(running, tables.name) > 0,
      (SELECT groupArray(query) FROM $processes WHERE query_id != queryID()))
"""


class PartitionMismatchError(RuntimeError):
    """The partition that was swapped in does not hold what was staged."""


@dataclass(frozen=True)
class Totals:
    """The number of a day's rows, and the sum of each measure."""

    rows: int
    sums: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Staged:
    """A day's rows in a staging table. They are verified, and readers do not see them yet."""

    table: DailyTable
    date: datetime.date
    name: str
    totals: Totals
    read_rows: int


@contextmanager
def staged_partition(
    warehouse: Warehouse,
    table: DailyTable,
    date: datetime.date,
    selects: Sequence[tuple[str, Parameters]],
    rows: Iterable[pyarrow.Table] = (),
) -> Iterator[Staged]:
    """Fill a staging table of `table` with `rows` and what `selects` hold; drop it on leaving, whatever happened.

    The SELECTs run one after the other; `{staging:Identifier}` in one is the table that those before it have filled.

    Raises:
        WarehouseError: a statement failed; the table itself is untouched.
        PartitionMismatchError: the staging table does not hold the rows that were written.
    """
    name = f"{STAGING_PREFIX}{table.name}__{date:%Y%m%d}__{uuid.uuid4().hex[:12]}"
    operation = f"Computing {table.name} of {date}"
    create_staging(warehouse, name, table.name, operation=operation)
    try:
        read = written = 0
        for part in rows:
            warehouse.run(partial(_insert, name=name, rows=part), operation=operation)
            written += part.num_rows
        for select, parameters in selects:
            done = warehouse.execute(
                f"INSERT INTO `{name}`\n{select}", {**parameters, "staging": name}, operation=operation
            )
            read += done.read_rows
            written += done.written_rows
        totals, others = _totals(warehouse, table, name, date)
        if others or totals.rows != written:
            raise PartitionMismatchError(
                f"{table.name} of {date}: {written} rows were written to staging, but it has {totals.rows}, {others} "
                "of them from other days. Nothing was swapped in. Run the partition again."
            )
        yield Staged(table, date, name, totals, read)
    finally:
        drop_staging(warehouse, name)


def publish(warehouse: Warehouse, staged: Staged) -> None:
    """Swap a staged day in, atomically, and verify that readers now see exactly its rows.

    Raises:
        WarehouseError: the swap failed; readers see the old rows or the new ones, never a part of either.
        PartitionMismatchError: the rows that readers see are not the staged ones.
    """
    operation = f"Swapping in {staged.table.name} of {staged.date}"
    if staged.totals.rows:
        swap = f"REPLACE PARTITION '{staged.date}' FROM `{staged.name}`"
    else:  # REPLACE from an empty partition is an error of ClickHouse's
        swap = f"DROP PARTITION '{staged.date}'"
    warehouse.execute(f"ALTER TABLE `{staged.table.name}` {swap}", operation=operation, repeatable=True)
    seen, _ = _totals(warehouse, staged.table, staged.table.name, staged.date, only_the_day=True)
    if seen != staged.totals:
        raise PartitionMismatchError(
            f"{staged.table.name} of {staged.date}: staged {staged.totals}, but readers see {seen}. Did something "
            "else write this partition at the same time? Run the partition again."
        )


def drop_leftovers(warehouse: Warehouse, table: DailyTable, idle_seconds: int = IDLE_SECONDS) -> list[str]:
    """Drop staging tables of `table` that killed runs left behind; returns their names.

    A staging table is a leftover when no running query names it and neither it nor its rows changed for
    `idle_seconds`.
    """
    return drop_idle_staging_tables(warehouse, f"{STAGING_PREFIX}{table.name}__", idle_seconds)


def drop_idle_staging_tables(warehouse: Warehouse, prefix: str, idle_seconds: int) -> list[str]:
    """Drop staging tables with this prefix that have been idle for that long. Returns their names."""
    operation = f"Looking for leftovers of {prefix}"
    sql = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND startsWith(name, {prefix:String})"
    if not warehouse.value(sql, {"prefix": prefix}, operation=operation):
        return []  # the usual case; finding out whether one is in use takes ten times as long
    leftovers = warehouse.query(
        Template(_LEFTOVERS).substitute(processes=all_replicas(warehouse, "processes")),
        {"prefix": prefix, "idle_seconds": idle_seconds},
        operation=operation,
    )
    names = [row["name"] for row in leftovers.rows]
    for name in names:
        drop_staging(warehouse, name)
    return names


def _insert(client: Client, name: str, rows: pyarrow.Table) -> None:
    client.insert_arrow(name, rows)


def _totals(
    warehouse: Warehouse, table: DailyTable, name: str, date: datetime.date, *, only_the_day: bool = False
) -> tuple[Totals, int]:
    """What the rows in table `name` add up to, and how many of them are not of `date`."""
    sums = [f"toInt64(sum({measure}))" for measure in table.measures]
    quantities = ", ".join(["count()", "countIf(event_date != {event_date:Date})", *sums])
    where = "WHERE event_date = {event_date:Date}" if only_the_day else ""
    (row,) = warehouse.query(
        # The measures and the day are our own columns (`tables.py`), not values.
        f"SELECT {quantities} FROM {{table:Identifier}} {where}",  # noqa: S608
        {"table": name, "event_date": date},
        operation=f"Verifying {table.name} of {date}",
    ).rows
    rows, others, *values = row.values()
    return Totals(int(rows), dict(zip(table.measures, map(int, values), strict=True))), int(others)


def drop_staging(warehouse: Warehouse, name: str) -> None:
    """Drop a staging table. If ClickHouse is down, `drop_leftovers` drops it later."""
    try:
        drop_table(warehouse, name, operation="Dropping a staging table")
    except WarehouseError as error:
        if not error.transient:
            raise
