"""Making the platform's tables, migrating those of an earlier version: one idempotent command, also run on first use.

Only what is missing is created, so an account that may not create tables works as soon as somebody who may has
run `metrics-platform create-tables` once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.ddl import create_table, on_cluster
from metrics_platform.warehouse.errors import UNKNOWN_DATABASE, WarehouseError
from metrics_platform.warehouse.migrations import migrate, pending
from metrics_platform.warehouse.tables import DailyTable, columns_of


class SchemaMismatchError(RuntimeError):
    """A table of the platform's name has other columns than this version writes."""


def create_tables(warehouse: Warehouse, daily_tables: Iterable[DailyTable]) -> list[str]:
    """Migrate those of `daily_tables` that are there, and create those that are missing; returns the names created.

    The database is created, too, where it is missing.

    Raises:
        WarehouseError: no right to create or alter, or no ClickHouse.
        SchemaMismatchError: a table is there with other columns.
    """
    wanted = {table.name: table for table in daily_tables}
    try:
        existing = _columns(warehouse, list(wanted))
        if migrate(warehouse, _types(existing)):
            existing = _columns(warehouse, list(wanted))
        created = _missing(warehouse, wanted, existing)
    except WarehouseError as error:
        if error.code != UNKNOWN_DATABASE:
            raise
        create_database(warehouse, warehouse.database)
        created = list(wanted)
    for name in created:
        create_table(warehouse, wanted[name], name)
    return created


def missing_tables(warehouse: Warehouse, daily_tables: Iterable[DailyTable]) -> list[str]:
    """The names of those tables that are not there yet.

    Raises:
        SchemaMismatchError: a table is there with other columns.
    """
    wanted = {table.name: table for table in daily_tables}
    return _missing(warehouse, wanted, _columns(warehouse, list(wanted)))


def _missing(
    warehouse: Warehouse, wanted: Mapping[str, DailyTable], existing: Mapping[str, list[tuple[str, str]]]
) -> list[str]:
    """The names of those tables that are not among the existing ones, which must have the columns that are written."""
    migrations = {each.table for each in pending(_types(existing))}
    for name, found in existing.items():
        expected = [(column.name, column.type) for column in columns_of(wanted[name].file)]
        if found != expected:
            raise SchemaMismatchError(
                _mismatch(warehouse.database, name, found, expected, can_migrate=name in migrations)
            )
    return [name for name in wanted if name not in existing]


def tables_are_there(warehouse: Warehouse, tables: Iterable[DailyTable]) -> bool:
    """Whether all of these tables are there; before the first load there is perhaps not even the database.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer.
        SchemaMismatchError: a table is there with other columns.
    """
    try:
        return not missing_tables(warehouse, tables)
    except WarehouseError as error:
        if error.code != UNKNOWN_DATABASE:
            raise
        return False


def create_database(warehouse: Warehouse, name: str) -> None:
    """Create a database if it is missing; asks first, since many accounts may use but not create one."""
    outside = outside_database(warehouse)
    there = outside.value(
        "SELECT count() FROM system.databases WHERE name = {name:String}", {"name": name}, doing="Connecting"
    )
    if not there:
        outside.execute(
            f"CREATE DATABASE IF NOT EXISTS {{name:Identifier}}{on_cluster(warehouse)}",
            {"name": name},
            doing=f"Creating database {name}",
            repeatable=True,
        )


def outside_database(warehouse: Warehouse) -> Warehouse:
    """The same account in `system`: logging in to a database that does not exist yet fails."""
    return replace(warehouse, connection=replace(warehouse.connection, database="system"))


def _columns(warehouse: Warehouse, names: list[str]) -> dict[str, list[tuple[str, str]]]:
    """Table → (column, type) in order, of those tables that exist."""
    rows = warehouse.query(
        "SELECT table, name, type FROM system.columns "
        "WHERE database = currentDatabase() AND table IN {names:Array(String)} ORDER BY table, position",
        {"names": names},
        doing="Reading the tables' columns",
    ).rows
    found: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        found.setdefault(row["table"], []).append((row["name"], row["type"]))
    return found


def _types(existing: Mapping[str, list[tuple[str, str]]]) -> dict[str, dict[str, str]]:
    return {name: dict(columns) for name, columns in existing.items()}


def _mismatch(
    database: str,
    name: str,
    found: list[tuple[str, str]],
    expected: list[tuple[str, str]],
    *,
    can_migrate: bool,
) -> str:
    lines = [f"Table {database}.{name} has other columns than this version writes:"]
    lines += [f"  - {' '.join(column)} is expected, not there" for column in expected if column not in found]
    lines += [f"  - {' '.join(column)} is there, not expected" for column in found if column not in expected]
    if len(lines) == 1:
        lines.append("  - the same columns, in another order")
    if can_migrate:
        lines.append("What to do: run `metrics-platform create-tables`, which migrates the table and keeps its rows.")
        return "\n".join(lines)
    lines.append(
        "What to do: run `metrics-platform create-tables`, which migrates tables of earlier versions. If it refuses "
        f"too, RENAME TABLE {database}.{name} TO {database}.{name}_old, run it again, and backfill the asset."
    )
    return "\n".join(lines)
