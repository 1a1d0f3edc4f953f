"""The ClickHouse part of `doctor`: version, rights, sources, own tables, and plausible times of events.

Every question is asked by doing the thing (a table is created, filled, swapped and dropped), because only that
tells whether the rights, quotas and settings of an account are enough.
"""

from __future__ import annotations

import datetime
import difflib
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from metrics_platform.catalog import Source, load_catalog_or_builtin
from metrics_platform.findings import Finding, run_check
from metrics_platform.settings import Settings
from metrics_platform.warehouse import tables
from metrics_platform.warehouse.catalog_check import CheckedCatalog, check_catalog
from metrics_platform.warehouse.client import Parameters, Warehouse, connection_of
from metrics_platform.warehouse.daily_sources import DailySources
from metrics_platform.warehouse.partitions import IDLE_SECONDS, STAGING_PREFIX, drop_idle_staging_tables
from metrics_platform.warehouse.schema import (
    create_staging,
    create_table,
    drop_table,
    in_system_database,
    missing_tables,
)
from metrics_platform.warehouse.slot_migration import tables_to_migrate
from metrics_platform.warehouse.source_rows import SourceRows, resolve

MINIMUM_VERSION = (24, 8)


def inspect_warehouse(warehouse: Warehouse, settings: Settings) -> Iterator[Finding]:
    """Check everything that the platform needs of ClickHouse. Stops if further checks make no sense."""
    server = run_check("ClickHouse", lambda: _server(warehouse))
    yield server
    if server.status == "problem":
        return
    cluster = inspect_cluster(warehouse)
    yield cluster
    if cluster.status == "problem":
        return
    database = run_check("Database", lambda: _database(warehouse))
    yield database
    if database.status == "ok":
        rights = run_check("Rights", lambda: _rights(warehouse))
        if rights.status == "problem":
            rights = replace(rights, remedy=f"{rights.remedy} All it needs: {'; '.join(needed_rights(settings))}.")
        yield rights
        yield run_check("Tables", lambda: _own_tables(warehouse, settings))
        if warehouse.cluster or warehouse.engine != "MergeTree":
            yield run_check(_SUBJECT, lambda: _tables(warehouse, settings))
    # The platform's own database may not exist yet.
    yield from inspect_sources(in_system_database(warehouse), settings)


def needed_rights(settings: Settings) -> list[str]:
    """The GRANT statements with all rights that the account of METRICS_CLICKHOUSE_URL needs, and no more."""
    account = connection_of(settings)
    catalog = load_catalog_or_builtin(settings)
    sources = [f"GRANT SELECT ON {source.table} TO {account.user}" for source in catalog.sources.values()]
    own = "SELECT, INSERT, ALTER DELETE, ALTER COLUMN, CREATE TABLE, DROP TABLE"
    # To tell what a killed run left behind from what another run is writing.
    system = [f"GRANT SELECT ON system.{table} TO {account.user}" for table in ("parts", "processes")]
    granted = [*sources, f"GRANT {own} ON {account.database}.* TO {account.user}", *system]
    if settings.clickhouse_cluster:
        granted += [f"GRANT CLUSTER, REMOTE, CREATE TEMPORARY TABLE ON *.* TO {account.user}"]
        granted += [f"GRANT SELECT ON system.{table} TO {account.user}" for table in ("clusters", "replicas")]
    return granted


def _server(warehouse: Warehouse) -> Finding:
    version = str(in_system_database(warehouse).value("SELECT version()", operation="Connecting"))
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    description = f"{version} at {warehouse.connection.display_url}"
    if numbers < MINIMUM_VERSION:
        return Finding("ClickHouse", "problem", description, "Use ClickHouse 24.8 or newer.")
    return Finding("ClickHouse", "ok", description)


def _database(warehouse: Warehouse) -> Finding:
    """Whether the database exists; a mistyped name must not create one."""
    every_database = "SELECT name FROM system.databases WHERE lower(name) NOT IN {ours:Array(String)}"
    names = names_of(in_system_database(warehouse), every_database, {"ours": ["system", "information_schema"]})
    if warehouse.database in names:
        return Finding("Database", "ok", f"{warehouse.database} exists")
    return Finding(
        "Database",
        "problem",
        f"{warehouse.database}, which METRICS_CLICKHOUSE_URL names, does not exist",
        f"{_similar_names(warehouse.database, names)}Correct the name; or, if it is right, create the database with "
        "`metrics-platform create-tables`.",
    )


def _rights(warehouse: Warehouse) -> Finding:
    """Do once what the partition writer does and what the monitor's tables are made of, in tables of our own."""
    name = f"{STAGING_PREFIX}doctor__{uuid.uuid4().hex[:12]}"
    staging, replacing = f"{name}__staging", f"{name}__replacing"
    day = "2026-01-01"
    operation = "Testing the rights"
    try:
        create_table(warehouse, tables.slice_table("os"), name)
        create_staging(warehouse, staging, name, operation=operation)
        warehouse.execute(f"INSERT INTO `{staging}` (event_date) SELECT '{day}'", operation=operation)
        for move in (f"REPLACE PARTITION '{day}' FROM `{staging}`", f"ATTACH PARTITION '{day}' FROM `{staging}`"):
            warehouse.execute(f"ALTER TABLE `{name}` {move}", operation=operation)
        warehouse.execute(f"ALTER TABLE `{name}` DROP PARTITION '{day}'", operation=operation)
        drop_idle_staging_tables(warehouse, name, IDLE_SECONDS)  # these are in use, so all stay
        # A server may ask for a grant for each engine.
        create_table(warehouse, tables.INCIDENTS, replacing)
    finally:
        for table in (replacing, staging, name):
            drop_table(warehouse, table, operation=operation)
    return Finding("Rights", "ok", f"tables in {warehouse.database} can be created, filled, swapped and dropped")


def _own_tables(warehouse: Warehouse, settings: Settings) -> Finding:
    wanted = tables.all_tables(settings.dimensions)
    if old := tables_to_migrate(warehouse):
        text = f"tables of an earlier version, or of a migration that was interrupted: {', '.join(old)}"
        return Finding("Tables", "problem", text, "Run `metrics-platform create-tables`. No row is lost.")
    if missing := missing_tables(warehouse, wanted):
        return Finding("Tables", "note", f"missing, created on first use: {', '.join(missing)}")
    if days := warehouse.value(_OTHER_DAYS, {"zone": settings.timezone}, operation="Comparing slots with their days"):
        found = f"slot_metrics has {days:,} day{'s' * (days > 1)} of another zone"
        text = f"{found} than METRICS_TIMEZONE = {settings.timezone}"
        return Finding("Tables", "problem", text, "See docs/operations.md, METRICS_TIMEZONE must change.")
    return Finding("Tables", "ok", f"all {len(wanted)} exist, with the columns that this version writes")


_OTHER_DAYS = "SELECT uniqExact(event_date) FROM slot_metrics WHERE toDate(slot_start, {zone:String}) != event_date"
_SUBJECT = "Cluster"
_CLOUD = "SELECT count() FROM system.settings WHERE name = 'cloud_mode' AND value IN ('1', 'true')"
_SERVER = "SELECT concat(hostName(), ' ', toString(serverUUID()), ' ', toString(tcpPort()))"
_CLUSTERS = "SELECT DISTINCT cluster FROM system.clusters ORDER BY cluster"
_ENGINES = """
SELECT groupArrayIf(name, NOT startsWith(engine, 'Replicated') AND NOT startsWith(engine, 'Shared')) AS plain,
       countIf(startsWith(engine, 'Replicated')) AS replicated
FROM system.tables WHERE database = currentDatabase() AND name IN {tables:Array(String)}
"""
_REPLICAS = """
SELECT groupArrayIf(table, is_readonly) AS readonly, max(absolute_delay) AS delay,
       min(active_replicas) AS active, max(total_replicas) AS total
FROM system.replicas WHERE database = currentDatabase()
"""
_CONVERT = "Make them anew with that engine (docs/operations.md, From one server to a cluster)."
_LATE_SECONDS = 60


def inspect_cluster(warehouse: Warehouse) -> Finding:
    """Whether METRICS_CLICKHOUSE_CLUSTER and METRICS_CLICKHOUSE_ENGINE fit what answers at METRICS_CLICKHOUSE_URL."""
    return run_check(_SUBJECT, lambda: _cluster(in_system_database(warehouse)))


def _cluster(warehouse: Warehouse) -> Finding:
    named = warehouse.cluster
    cloud = bool(warehouse.value(_CLOUD, operation="Looking for ClickHouse Cloud"))
    if cloud and not named:
        return Finding(_SUBJECT, "problem", "this is ClickHouse Cloud", "Set METRICS_CLICKHOUSE_CLUSTER=default.")
    servers = 1 if cloud else len(set(_servers(warehouse)))
    if servers > 1 and not named:
        return Finding(
            _SUBJECT,
            "problem",
            f"{servers} servers answer at METRICS_CLICKHOUSE_URL: it is a load balancer",
            "Name one replica there; or set METRICS_CLICKHOUSE_CLUSTER and METRICS_CLICKHOUSE_ENGINE.",
        )
    if not named:
        return Finding(_SUBJECT, "ok", "one server")
    clusters = [row["cluster"] for row in warehouse.query(_CLUSTERS, operation="Reading the clusters").rows]
    if named not in clusters:
        known = f"there is {', '.join(clusters)}" if clusters else "the server knows none"
        detail = f"METRICS_CLICKHOUSE_CLUSTER = {named}: {known}"
        return Finding(_SUBJECT, "problem", detail, "Correct it, or leave it out for one server.")
    if warehouse.engine == "MergeTree" and not cloud:
        detail = f"tables of METRICS_CLICKHOUSE_CLUSTER = {named} would be other tables on each replica"
        return Finding(_SUBJECT, "problem", detail, "Set METRICS_CLICKHOUSE_ENGINE=ReplicatedMergeTree.")
    place = "ClickHouse Cloud" if cloud else "a load balancer" if servers > 1 else "one replica"
    return Finding(_SUBJECT, "ok", f"{place}, cluster {named}")


def _servers(warehouse: Warehouse) -> Iterator[str]:
    """Who answers: on three connections, two requests each, since balancers choose by either."""
    for _ in range(3):
        warehouse.close()
        for _ in range(2):
            yield warehouse.value(_SERVER, operation="Looking which server answers")


def _tables(warehouse: Warehouse, settings: Settings) -> Finding:
    """Whether the platform's tables are where the settings say, and their replicas are up to date."""
    names = [table.name for table in tables.all_tables(settings.dimensions)]
    (engines,) = warehouse.query(_ENGINES, {"tables": names}, operation="Reading the tables' engines").rows
    if engines["plain"]:
        detail = f"{', '.join(engines['plain'])}: not replicated, as METRICS_CLICKHOUSE_ENGINE says"
        return Finding(_SUBJECT, "problem", detail, _CONVERT)
    if not engines["replicated"]:
        return Finding(_SUBJECT, "ok", "no table of the platform is replicated by ClickHouse Keeper")
    (state,) = warehouse.query(_REPLICAS, operation="Reading the replicas' state").rows
    if state["readonly"]:
        detail = f"{', '.join(state['readonly'])}: read-only"
        return Finding(_SUBJECT, "problem", detail, "Check that ClickHouse Keeper is running. See system.replicas.")
    description = f"{state['active']} of {state['total']} replicas, at most {state['delay']} s behind"
    if state["active"] < state["total"] or state["delay"] > _LATE_SECONDS:
        remedy = "Start the missing replica, or wait until it has caught up."
        if warehouse.cluster:
            return Finding(_SUBJECT, "problem", description, f"{remedy} Every replica must have what is written.")
        return Finding(_SUBJECT, "note", description, remedy)
    return Finding(_SUBJECT, "ok", description)


_SETTINGS = {"feed_actions": "METRICS_FEED_TABLE", "message_actions": "METRICS_MESSAGES_TABLE"}
_RECEIVERS = ("receiver_id", "reciever_id")
_NAMES_SHOWN = 5
_ALIKE = 0.6
# Values are looked at in the last days of events: what the product writes now.
_VALUES_OF_DAYS = 7
_VALUES_SHOWN = 5


def inspect_sources(warehouse: Warehouse, settings: Settings) -> Iterator[Finding]:
    """Check every source, and every entry of the catalogue that is computed from it."""
    catalog = load_catalog_or_builtin(settings)
    checked = check_catalog(warehouse, catalog)
    first_days: list[datetime.date] = []
    for source in catalog.sources.values():
        yield run_check(f"Source {source.table}", partial(_mapping, warehouse, source, checked))
        rows = checked.rows.get(source.name)
        if rows is not None:
            yield run_check(f"Source {source.table}", partial(_times, warehouse, settings, rows, first_days))
            yield from _values(warehouse, rows)
    for entry, problem in checked.problems.items():
        section, _, name = entry.partition(".")
        # The finding of an unreadable source also explains its metrics.
        if section == "dimensions" or (section == "metrics" and catalog.sources_of(name) <= checked.rows.keys()):
            yield Finding(
                "Catalogue", "problem", problem, "Correct the entry in METRICS_CATALOG; the others are computed."
            )
    yield from _daily_load(DailySources(warehouse, catalog), checked)
    if len(first_days) == len(catalog.sources) and min(first_days) > settings.start_date:
        first, days = min(first_days), (min(first_days) - settings.start_date).days
        yield Finding(
            "Settings",
            "note",
            f"METRICS_START_DATE = {settings.start_date}, but the first event is on {first}",
            f"Set METRICS_START_DATE={first}: else {days:,} day{'s' * (days > 1)} without events will be computed.",
        )


def _daily_load(sources: DailySources, checked: CheckedCatalog) -> Iterator[Finding]:
    """What the daily load needs beyond the metrics: all attributes of users, whatever events are sliced by."""
    for problem in sources.problems():
        # An entry that no metric can be computed with was named before.
        if not problem.startswith(tuple(checked.problems)):
            text, _, remedy = problem.partition(" What to do: ")
            yield Finding("Daily load", "problem", text, remedy)


def _mapping(warehouse: Warehouse, source: Source, checked: CheckedCatalog) -> Finding:
    """Whether the source's table has what the catalogue names."""
    subject = f"Source {source.table}"
    problem = next(
        (text for entry, text in checked.problems.items() if entry.startswith(f"sources.{source.name}.")), None
    )
    if problem is not None:
        return Finding(subject, "problem", problem, _remedy(warehouse, source))
    rows = checked.rows[source.name]
    missing = f"; no column for {', '.join(rows.missing)} (always unknown)" if rows.missing else ""
    engine = warehouse.query(
        "SELECT engine FROM system.tables WHERE database = {database:String} AND name = {table:String}",
        {"database": source.table.database, "table": source.table.table},
        operation=f"Reading the engine of {source.table}",
    ).rows
    if engine and "Replacing" in engine[0]["engine"]:
        return Finding(
            subject,
            "note",
            f"it is a {engine[0]['engine']}: rows that are replaced later are counted until ClickHouse merges them",
            f"Name a view of {source.table} with FINAL in the catalogue, if that makes a difference.",
        )
    dimensions = ", ".join(dimension.name for dimension in source.dimensions) or "nothing"
    return Finding(subject, "ok", f"can be read as {source.name}, sliced by {dimensions}{missing}")


def _remedy(warehouse: Warehouse, source: Source) -> str:
    """The setting to correct for a missing table or column."""
    setting = _SETTINGS.get(source.name)
    columns = names_of(
        warehouse,
        "SELECT name FROM system.columns WHERE database = {database:String} AND table = {table:String}",
        {"database": source.table.database, "table": source.table.table},
    )
    if not columns:
        tables = names_of(
            warehouse,
            "SELECT concat(database, '.', name) AS name FROM system.tables "
            "WHERE lower(database) NOT IN ('system', 'information_schema')",
            {},
        )
        suggestion = _similar_names(str(source.table), tables, _ALIKE)
        create = "; or create the table with `metrics-platform load`" if setting else ""
        key = setting or f"sources.{source.name}.table"
        return f"{suggestion}Set {key} to the table's name; GRANT SELECT ON {source.table} TO the account{create}."
    others = [name for name in _RECEIVERS if name in columns]
    if setting and source.receiver not in columns and others:
        return f"Set METRICS_RECEIVER_COLUMN={others[0]}, which is there."
    return f"Map the columns in METRICS_CATALOG, under sources.{source.name} (docs/catalog.md)."


def _times(warehouse: Warehouse, settings: Settings, rows: SourceRows, first_days: list[datetime.date]) -> Finding:
    """Do the events' times make sense in the settings' zone and from the start date on? Adds the first event's day."""
    table, subject = rows.source.table, f"Source {rows.source.table}"
    selected = f"FROM {table.sql}" + (f" WHERE {rows.source.where}" if rows.source.where else "")
    (row,) = warehouse.query(
        f"SELECT count() AS events, toDateTime(min(time), 'UTC') AS first, toDateTime(max(time), 'UTC') AS last, "  # noqa: S608
        f"toDateTime(now(), 'UTC') AS now, (SELECT count() FROM {table.sql}) AS every, "
        f"(SELECT count() {selected}) AS selected, (SELECT count() FROM {rows.without_user}) AS without_user "
        f"FROM {rows.sql}",
        operation=f"Reading {table}",
    ).rows
    # ClickHouse counts `events` last, and some may have arrived since.
    untimed = max(0, row["selected"] - row["events"] - row["without_user"])
    without = {"user": row["without_user"], "time that can be read": untimed}
    left_out = sum(without.values())
    why = " and ".join(f"{count:,} without a {what}" for what, count in without.items() if count)
    if not row["events"]:
        said = f"it is empty as {rows.source.name}, but has {row['every']:,} rows" if row["every"] else "it is empty"
        said += f": {why}" if why else ""
        return Finding(subject, "note", said, "Load events (`metrics-platform load`), or wait until some arrive.")
    first, last, now = (row[key].replace(tzinfo=datetime.UTC) for key in ("first", "last", "now"))
    local = f"{first.astimezone(settings.zone):%Y-%m-%d %H:%M} – {last.astimezone(settings.zone):%Y-%m-%d %H:%M}"
    detail = f"{row['events']:,} events, {local} {settings.timezone}"
    if why:
        detail += f"; {left_out:,} more rows ({left_out / row['selected']:.2%}) are left out: {why}"
    first_day = first.astimezone(settings.zone).date()
    first_days.append(first_day)
    if last > now + datetime.timedelta(minutes=10):
        return Finding(
            subject,
            "note",
            f"{detail}: the last is in the future",
            "Are local times stored as if they were UTC? Compare with the product, and correct the times or "
            "METRICS_TIMEZONE."
            if last < now + datetime.timedelta(days=1)
            else "No day is computed before it is over. Are these events a mistake? Look at those after now().",
        )
    if first_day < settings.start_date:
        detail += f"; users of those before METRICS_START_DATE = {settings.start_date} are in the first snapshot"
    if why:
        return Finding(
            subject,
            "note",
            detail,
            "Rows whose user, receiver or time is NULL, or a text that is not a time, are left out of every metric. If "
            "they should count, correct them in the source.",
        )
    return Finding(subject, "ok", detail)


def _values(warehouse: Warehouse, rows: SourceRows) -> Iterator[Finding]:
    """Values of `action` and `gender` that are not recognised: they are counted nowhere, or as unknown."""
    source = rows.source
    rows = resolve(warehouse, source, ["action"])
    value_checks = []
    if "action" in source.columns:
        value_checks.append(
            ("action", "toString(action)", "action NOT IN ('view', 'like')", "are neither views nor likes")
        )
    gender = next((dimension for dimension in source.dimensions if dimension.name == "gender"), None)
    if gender is not None and gender.is_builtin and "gender" not in rows.missing:
        unknown = f"({gender.sql}) IS NULL AND ifNull(toString(gender), '') NOT IN ('', '-1')"
        value_checks.append(("gender", "toString(gender)", unknown, "count as unknown"))
    for column, expression, condition, consequence in value_checks:
        unrecognised = warehouse.query(
            f"SELECT {expression} AS value, count() AS events, sum(count()) OVER () AS unrecognised "  # noqa: S608
            f"FROM {rows.sql} WHERE time >= (SELECT max(time) FROM {rows.sql}) - toIntervalDay({_VALUES_OF_DAYS}) "
            f"AND ({condition}) GROUP BY value ORDER BY events DESC, value LIMIT {_VALUES_SHOWN}",
            operation=f"Reading values of {column} in {source.table}",
        ).rows
        if unrecognised:
            listed = ", ".join(f"{row['value']!r} ({row['events']:,})" for row in unrecognised)
            yield Finding(
                f"Source {source.table}",
                "note",
                f"{unrecognised[0]['unrecognised']:,} events of the last {_VALUES_OF_DAYS} days have an unrecognised "
                f"{column}: {listed}. They {consequence}",
                f"Map them in METRICS_CATALOG, under sources.{source.name}.columns.{column} (docs/catalog.md).",
            )


def names_of(warehouse: Warehouse, query: str, parameters: Parameters) -> list[str]:
    """The column `name` of a query."""
    return [str(row["name"]) for row in warehouse.query(query, parameters, operation="Looking for names").rows]


def _similar_names(name: str, names: Sequence[str], cutoff: float = 0.0) -> str:
    """A sentence with similar names for a mistyped one. `cutoff` is the least similarity (0 to 1)."""
    matches = difflib.get_close_matches(name, names, n=_NAMES_SHOWN, cutoff=cutoff)
    return f"There is {', '.join(matches)}. " if matches else ""
