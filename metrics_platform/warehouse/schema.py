"""Create the platform's tables and migrate those of earlier versions: one idempotent command, also run on first use.

Only what is missing is created, so an account that may not create tables works as soon as someone who may has run
`metrics-platform create-tables` once.

Without METRICS_CLICKHOUSE_CLUSTER every statement goes to the one server, or the one replica, that
METRICS_CLICKHOUSE_URL names, and staging tables live there alone as plain MergeTree. With it that address may be a load
balancer: tables, staging tables included, are made and dropped ON CLUSTER with the engine of METRICS_CLICKHOUSE_ENGINE.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from metrics_platform.table_names import quote_identifier
from metrics_platform.warehouse.client import Warehouse, sql_text
from metrics_platform.warehouse.errors import UNKNOWN_DATABASE, WarehouseError
from metrics_platform.warehouse.tables import DailyTable, read_sql

# What ClickHouse writes before the keys of a table: its engine, with arguments or without.
_ENGINE = re.compile(r"^\w*MergeTree(?:\(.*?\))?(?= (?:PARTITION BY|PRIMARY KEY|ORDER BY) )", re.DOTALL)
_DECLARED = re.compile(r"^ENGINE = (?P<kind>\w*)MergeTree(?:\((?P<arguments>.*)\))?$", re.MULTILINE)
_REPLICATED = re.compile(r"ReplicatedMergeTree(?:\((?P<path>.*)\))?")
# Column → type, in order.
Types = Mapping[str, str]


class SchemaMismatchError(RuntimeError):
    """A table of the platform's name has other columns than this version writes."""


def create_tables(warehouse: Warehouse, daily_tables: Iterable[DailyTable]) -> list[str]:
    """Change tables of an earlier version, and create missing ones; returns the names of those created.

    The database is created, too, where it is missing.
    """
    wanted = {table.name: table for table in daily_tables}
    existing = existing_columns(warehouse, wanted)
    changed = [name for name, types in existing.items() if _migrate(warehouse, wanted[name], types)]
    created = _missing(warehouse, wanted, existing_columns(warehouse, wanted) if changed else existing)
    if created and not existing:
        create_database(warehouse, warehouse.database)
    for name in created:
        create_table(warehouse, wanted[name], name)
    return created


def missing_tables(warehouse: Warehouse, daily_tables: Iterable[DailyTable]) -> list[str]:
    """The names of those tables that do not exist yet. Even the database may be missing."""
    wanted = {table.name: table for table in daily_tables}
    return _missing(warehouse, wanted, existing_columns(warehouse, wanted))


def tables_exist(warehouse: Warehouse, tables: Iterable[DailyTable]) -> bool:
    """Whether all of these tables exist. Errors as above."""
    return not missing_tables(warehouse, tables)


def create_database(warehouse: Warehouse, name: str) -> None:
    """Create a database if it is missing. Check first, because many accounts may not create one."""
    system = in_system_database(warehouse)
    exists = system.value(
        "SELECT count() FROM system.databases WHERE name = {name:String}", {"name": name}, operation="Connecting"
    )
    if not exists:
        system.execute(
            f"CREATE DATABASE IF NOT EXISTS {{name:Identifier}}{on_cluster(warehouse)}",
            {"name": name},
            operation=f"Creating database {name}",
            repeatable=True,
        )


def in_system_database(warehouse: Warehouse) -> Warehouse:
    """The same account in the database `system`, because logging in to a missing database fails."""
    return replace(warehouse, connection=replace(warehouse.connection, database="system"))


def on_cluster(warehouse: Warehouse) -> str:
    """The clause for a statement that creates, renames or drops; empty without a cluster."""
    return f" ON CLUSTER {quote_identifier(warehouse.cluster)}" if warehouse.cluster else ""


def create_table(warehouse: Warehouse, table: DailyTable, name: str) -> None:
    """Create the table of `schema/<file>.sql` as `name`, if it is missing."""
    sql = read_sql(f"schema/{table.file}.sql").replace(
        "CREATE TABLE IF NOT EXISTS {table:Identifier}",
        f"CREATE TABLE IF NOT EXISTS {{table:Identifier}}{on_cluster(warehouse)}",
    )
    sql = _DECLARED.sub(lambda declared: f"ENGINE = {_engine(warehouse.engine, declared)}", sql)
    warehouse.execute(sql, {"table": name}, operation=f"Creating table {warehouse.database}.{name}", repeatable=True)


def create_staging(warehouse: Warehouse, name: str, target: str, *, operation: str, repeatable: bool = False) -> None:
    """Create a table with the columns and keys of `target`, from which partitions can be moved into it.

    With `repeatable` it may be there already. Its engine is no Replacing…: what is staged is counted row by row.
    """
    full = warehouse.query(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {name:String}",
        {"name": target},
        operation=operation,
    ).rows
    # The keys, and settings such as a storage policy. Of a table that is not there, ClickHouse's own error is raised.
    keys = _ENGINE.sub("", full[0]["engine_full"]) if full else ""
    engine = f" ENGINE = {warehouse.engine if warehouse.cluster else 'MergeTree'}{keys}" if full else ""
    missing = "IF NOT EXISTS " if repeatable else ""
    # Both names are ours, and `AS` takes no parameter.
    warehouse.execute(
        f"CREATE TABLE {missing}{quote_identifier(name)}{on_cluster(warehouse)} AS {quote_identifier(target)}{engine}",
        operation=operation,
        repeatable=repeatable,
    )


def drop_table(warehouse: Warehouse, name: str, *, operation: str, repeatable: bool = False) -> None:
    """Drop a table of any size. By default, ClickHouse refuses to drop one of more than 50 GB."""
    warehouse.execute(
        f"DROP TABLE IF EXISTS {quote_identifier(name)}{on_cluster(warehouse)} SYNC",
        operation=operation,
        repeatable=repeatable,
        settings={"max_table_size_to_drop": 0},
    )


def all_replicas(warehouse: Warehouse, table: str) -> str:
    """A table of `system` as a table expression: on every replica, or on the only server."""
    return (
        f"clusterAllReplicas({quote_identifier(warehouse.cluster)}, system.{table})"
        if warehouse.cluster
        else f"system.{table}"
    )


def _engine(setting: str, declared: re.Match[str]) -> str:
    """A declared engine such as `ReplacingMergeTree(version)`, in its replicated form if configured."""
    kind, arguments = declared["kind"], declared["arguments"] or ""
    replicated = _REPLICATED.fullmatch(setting)
    if replicated is None:
        return f"{kind}MergeTree" + (f"({arguments})" if arguments else "")
    every = ", ".join(filter(None, (replicated["path"], arguments)))
    return f"Replicated{kind}MergeTree" + (f"({every})" if every else "")


def existing_columns(warehouse: Warehouse, names: Iterable[str]) -> dict[str, Types]:
    """Table → its columns, for existing tables; empty if the database does not exist."""
    try:
        rows = warehouse.query(
            "SELECT table, name, type FROM system.columns "
            "WHERE database = currentDatabase() AND table IN {names:Array(String)} ORDER BY table, position",
            {"names": list(names)},
            operation="Reading the tables' columns",
        ).rows
    except WarehouseError as error:
        if error.code != UNKNOWN_DATABASE:
            raise
        return {}
    columns: dict[str, dict[str, str]] = {}
    for row in rows:
        columns.setdefault(row["table"], {})[row["name"]] = row["type"]
    return dict(columns)


def _migrate(warehouse: Warehouse, table: DailyTable, types: Types) -> bool:
    """Migrate a table of an earlier version. Returns whether anything was changed.

    Two processes may do so at the same time.
    """
    changes = _changes(table, types)
    if changes:
        alter = f"ALTER TABLE `{table.name}` {', '.join(changes)}"
        warehouse.execute(alter, operation=f"Migrating {table.name}", repeatable=True)
    return bool(changes)


def _changes(table: DailyTable, types: Types) -> list[str]:
    """The changes from an earlier version of a table: new columns, and columns that may now be NULL.

    Empty if it has unknown columns: then it is another table.
    """
    columns = {column.name: column for column in table.columns}
    if not types.keys() <= columns.keys() or table.columns[0].name not in types:
        return []
    changes = []
    for before, (name, column) in zip(["", *columns], columns.items(), strict=False):
        declared = f"{name} {column.type} COMMENT {sql_text(column.comment)}"
        if name not in types:
            changes.append(f"ADD COLUMN IF NOT EXISTS {declared} AFTER {before}")
        elif column.type == f"Nullable({types[name]})":
            changes.append(f"MODIFY COLUMN {declared}")
    return changes


def _missing(warehouse: Warehouse, wanted: Mapping[str, DailyTable], existing: Mapping[str, Types]) -> list[str]:
    """The names of those tables that are not among the existing ones, which must have the columns that are written."""
    for name, types in existing.items():
        expected = {column.name: column.type for column in wanted[name].columns}
        if list(types.items()) != list(expected.items()):
            raise SchemaMismatchError(_mismatch(warehouse.database, wanted[name], types, expected))
    return [name for name in wanted if name not in existing]


def _mismatch(database: str, table: DailyTable, actual: Types, expected: Types) -> str:
    full = f"{database}.{table.name}"
    lines = [f"Table {full} has other columns than this version writes:"]
    lines += [
        f"  - {name} {kind} is expected, not there" for name, kind in expected.items() if actual.get(name) != kind
    ]
    lines += [
        f"  - {name} {kind} is there, not expected" for name, kind in actual.items() if expected.get(name) != kind
    ]
    if len(lines) == 1:
        lines.append("  - the same columns, in another order")
    if _changes(table, actual):
        lines.append("What to do: run `metrics-platform create-tables`, which migrates the table and keeps its rows.")
    else:
        lines.append(
            "What to do: run `metrics-platform create-tables`, which migrates tables of earlier versions. If it "
            f"refuses too, RENAME TABLE {full} TO {full}_old, run it again, and backfill the asset."
        )
    return "\n".join(lines)
