"""What `doctor` asks ClickHouse: version, rights, sources, own tables, and whether the events' times make sense.

Every question is asked by doing the thing (a table is created, filled, swapped and dropped), because only that
tells whether the rights, quotas and settings of an account are enough.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import replace

from metrics_platform.findings import Finding, looked_at
from metrics_platform.settings import Settings
from metrics_platform.warehouse import tables
from metrics_platform.warehouse.client import Warehouse, connection_of
from metrics_platform.warehouse.cluster_inspection import inspect_cluster, inspect_replicas
from metrics_platform.warehouse.partitions import IDLE_SECONDS, STAGING_PREFIX, drop_idle_staging_tables
from metrics_platform.warehouse.schema import (
    SchemaMismatchError,
    create_staging,
    create_table,
    drop_table,
    missing_tables,
    outside_database,
    tables_are_there,
)
from metrics_platform.warehouse.slot_migration import tables_to_migrate
from metrics_platform.warehouse.source_inspection import inspect_sources, names_of, source_tables, there_is

MINIMUM_VERSION = (24, 8)


def inspect_warehouse(warehouse: Warehouse, settings: Settings) -> Iterator[Finding]:
    """Look at everything the platform needs of ClickHouse; stops where looking further makes no sense."""
    server = looked_at("ClickHouse", lambda: _server(warehouse))
    yield server
    if server.status == "problem":
        return
    cluster = inspect_cluster(warehouse)
    yield cluster
    if cluster.status == "problem":
        return
    database = looked_at("Database", lambda: _database(warehouse))
    yield database
    if database.status == "ok":
        rights = looked_at("Rights", lambda: _rights(warehouse))
        if rights.status == "problem":
            rights = replace(rights, remedy=f"{rights.remedy} All it needs: {'; '.join(needed_rights(settings))}.")
        yield rights
        yield looked_at("Tables", lambda: _own_tables(warehouse, settings))
        yield from inspect_replicas(warehouse, tables.all_tables(settings.dimensions))
    # The platform's own database may not be there yet.
    first_day = yield from inspect_sources(outside_database(warehouse), settings)
    if database.status == "ok" and first_day is not None and first_day < settings.start_date:
        yield from _first_snapshot(warehouse, settings)


def needed_rights(settings: Settings) -> list[str]:
    """The GRANT statements that give the account of METRICS_CLICKHOUSE_URL all it needs, and no more."""
    account = connection_of(settings)
    sources = [f"GRANT SELECT ON {table} TO {account.user}" for table in source_tables(settings).values()]
    own = "SELECT, INSERT, OPTIMIZE, ALTER DELETE, ALTER COLUMN, CREATE TABLE, DROP TABLE"
    # To tell what a killed run left behind from what another run is writing.
    system = [f"GRANT SELECT ON system.{table} TO {account.user}" for table in ("parts", "processes")]
    granted = [*sources, f"GRANT {own} ON {account.database}.* TO {account.user}", *system]
    if settings.clickhouse_cluster:
        granted += [f"GRANT CLUSTER, REMOTE, CREATE TEMPORARY TABLE ON *.* TO {account.user}"]
        granted += [f"GRANT SELECT ON system.{table} TO {account.user}" for table in ("clusters", "replicas")]
    return granted


def _server(warehouse: Warehouse) -> Finding:
    version = str(outside_database(warehouse).value("SELECT version()", doing="Connecting"))
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    shown = f"{version} at {warehouse.connection.shown}"
    if numbers < MINIMUM_VERSION:
        return Finding("ClickHouse", "problem", shown, "Use ClickHouse 24.8 or newer.")
    return Finding("ClickHouse", "ok", shown)


def _database(warehouse: Warehouse) -> Finding:
    """Whether the database exists; a mistyped name must not create one."""
    every_database = "SELECT name FROM system.databases WHERE lower(name) NOT IN {ours:Array(String)}"
    names = names_of(outside_database(warehouse), every_database, {"ours": ["system", "information_schema"]})
    if warehouse.database in names:
        return Finding("Database", "ok", f"{warehouse.database} exists")
    return Finding(
        "Database",
        "problem",
        f"{warehouse.database}, which METRICS_CLICKHOUSE_URL names, does not exist",
        f"{there_is(warehouse.database, names)}Correct the name; or, if it is right, create the database with "
        "`metrics-platform create-tables`.",
    )


def _rights(warehouse: Warehouse) -> Finding:
    """Do once what the partition writer does and what the monitor's tables are made of, in tables of our own."""
    name = f"{STAGING_PREFIX}doctor__{uuid.uuid4().hex[:12]}"
    staging, replacing = f"{name}__staging", f"{name}__replacing"
    day = "2026-01-01"
    doing = "Trying what the daily load and the monitor do"
    try:
        create_table(warehouse, tables.slice_table("os"), name)
        create_staging(warehouse, staging, name, doing=doing)
        warehouse.execute(f"INSERT INTO `{staging}` (event_date) SELECT '{day}'", doing=doing)
        for move in (f"REPLACE PARTITION '{day}' FROM `{staging}`", f"ATTACH PARTITION '{day}' FROM `{staging}`"):
            warehouse.execute(f"ALTER TABLE `{name}` {move}", doing=doing)
        warehouse.execute(f"ALTER TABLE `{name}` DROP PARTITION '{day}'", doing=doing)
        drop_idle_staging_tables(warehouse, name, IDLE_SECONDS)  # these are in use, so all stay
        # A server may ask for a grant for each engine.
        create_table(warehouse, tables.INCIDENTS, replacing)
    finally:
        for table in (replacing, staging, name):
            drop_table(warehouse, table, doing=doing)
    return Finding("Rights", "ok", f"tables in {warehouse.database} can be created, filled, swapped and dropped")


def _own_tables(warehouse: Warehouse, settings: Settings) -> Finding:
    wanted = tables.all_tables(settings.dimensions)
    try:
        if old := tables_to_migrate(warehouse):
            text = f"tables of an earlier version, or of a migration that was interrupted: {', '.join(old)}"
            return Finding("Tables", "problem", text, "Run `metrics-platform create-tables`. No row is lost.")
        missing = missing_tables(warehouse, wanted)
    except SchemaMismatchError as error:
        text, _, remedy = str(error).partition("\nWhat to do: ")
        return Finding("Tables", "problem", text, remedy)
    if missing:
        return Finding("Tables", "note", f"missing, created on first use: {', '.join(missing)}")
    return Finding("Tables", "ok", f"all {len(wanted)} exist, with the columns that this version writes")


def _first_snapshot(warehouse: Warehouse, settings: Settings) -> Iterator[Finding]:
    """Is the snapshot that the first day continues there? An earlier version computed that day without one."""
    if not tables_are_there(warehouse, [tables.USERS]):
        return
    (row,) = warehouse.query(
        "SELECT countIf(event_date < {start:Date}) AS before, countIf(event_date >= {start:Date}) AS since FROM users",
        {"start": settings.start_date},
        doing="Looking for the users before the first day",
    ).rows
    if row["since"] and not row["before"]:
        yield Finding(
            "Tables",
            "note",
            f"users of {settings.start_date} was computed without the events before it, so all users were new then",
            f"Materialise daily_etl from {settings.start_date} to yesterday in one run: its first day includes them.",
        )
