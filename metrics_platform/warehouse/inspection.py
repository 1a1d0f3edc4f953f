"""What `doctor` asks ClickHouse: version, rights, sources, own tables, and whether the events' times make sense.

Every question is asked by doing the thing (a table is created, filled, swapped and dropped), because only that
tells whether the rights, quotas and settings of an account are enough.
"""

from __future__ import annotations

import datetime
import difflib
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from metrics_platform.findings import Finding
from metrics_platform.settings import Settings
from metrics_platform.warehouse import tables
from metrics_platform.warehouse.client import Warehouse, connection_of
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.partitions import STAGING_PREFIX, drop_leftovers
from metrics_platform.warehouse.schema import SchemaMismatchError, missing_tables, outside_database

MINIMUM_VERSION = (24, 8)

_INTEGER = r"U?Int(8|16|32|64)"
_TEXT = r"String|FixedString\(\d+\)|Enum(8|16)\(.*\)"
# Column → (pattern its type must match once Nullable and LowCardinality are taken off, how to say it)
_EXPECTED_TYPES: dict[str, tuple[str, str]] = {
    "user_id": (r"UInt(8|16|32|64)", "UInt32 or another unsigned integer"),
    "receiver_id": (r"UInt(8|16|32|64)", "UInt32 or another unsigned integer"),
    "action": (_TEXT, "String with view and like"),
    "time": (r"DateTime(64)?(\(.*\))?", "DateTime"),
    "gender": (f"{_INTEGER}|{_TEXT}", "Int8 (1 male, 0 female) or String (male, female)"),
    "age": (_INTEGER, "Int16 or another integer"),
    "exp_group": (_INTEGER, "Int8 or another integer"),
    "country": (_TEXT, "String"),
    "city": (_TEXT, "String"),
    "os": (_TEXT, "String"),
    "source": (_TEXT, "String"),
}
_NAMES_SHOWN = 5
_ALIKE = 0.6
_ATTRIBUTES = ("os", "gender", "age", "country", "city", "exp_group", "source")


def inspect_warehouse(warehouse: Warehouse, settings: Settings) -> Iterator[Finding]:
    """Look at everything the platform needs of ClickHouse; stops where looking further makes no sense."""
    server = _look("ClickHouse", lambda: _server(warehouse))
    yield server
    if server.status == "problem":
        return
    database = _look("Database", lambda: _database(warehouse))
    yield database
    if database.status == "ok":
        rights = _look("Rights", lambda: _rights(warehouse))
        if rights.status == "problem":
            rights = replace(rights, remedy=f"{rights.remedy} All it needs: {'; '.join(needed_rights(settings))}.")
        yield rights
        yield _look("Tables", lambda: _own_tables(warehouse, settings))
    # The platform's own database may not be there yet.
    outside = outside_database(warehouse)
    first_days: list[datetime.date] = []
    for setting, table, file in (
        ("METRICS_FEED_TABLE", settings.feed_table, "feed_actions"),
        ("METRICS_MESSAGES_TABLE", settings.messages_table, "message_actions"),
    ):
        columns = _look(f"Source {table}", partial(_source_columns, outside, settings, setting, table, file))
        yield columns
        if columns.status != "problem":
            yield _look(f"Source {table}", partial(_source_times, outside, settings, table, first_days))
    if len(first_days) == 2 and min(first_days) > settings.start_date:
        yield _late_first_event(min(first_days), settings.start_date)


def needed_rights(settings: Settings) -> list[str]:
    """The GRANT statements that give the account of METRICS_CLICKHOUSE_URL all it needs, and no more."""
    account = connection_of(settings)
    sources = [f"GRANT SELECT ON {table} TO {account.user}" for table in (settings.feed_table, settings.messages_table)]
    own = "SELECT, INSERT, ALTER DELETE, CREATE TABLE, DROP TABLE"
    # To tell what a killed run left behind from what another run is writing.
    system = [f"GRANT SELECT ON system.{table} TO {account.user}" for table in ("parts", "processes")]
    return [*sources, f"GRANT {own} ON {account.database}.* TO {account.user}", *system]


def _look(subject: str, look: Callable[[], Finding]) -> Finding:
    """Turn ClickHouse's refusals into findings."""
    try:
        return look()
    except WarehouseError as error:
        text, _, remedy = str(error).partition("\nWhat to do: ")
        return Finding(subject, "problem", text, remedy)


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
    names = _names(outside_database(warehouse), every_database)
    if warehouse.database in names:
        return Finding("Database", "ok", f"{warehouse.database} is there")
    return Finding(
        "Database",
        "problem",
        f"{warehouse.database}, which METRICS_CLICKHOUSE_URL names, does not exist",
        f"{_there_are(warehouse.database, names)}Correct the name; or, if it is right, create the database with "
        "`metrics-platform create-tables`.",
    )


def _names(warehouse: Warehouse, query: str) -> list[str]:
    parameters = {"ours": ["system", "information_schema"]}
    return [str(row["name"]) for row in warehouse.query(query, parameters, doing="Looking for its name").rows]


def _there_are(wanted: str, names: list[str], alike: float = 0.0) -> str:
    """What a mistyped name may have been meant to be, as a sentence; of many names, those that are `alike` (0 to 1)."""
    near = difflib.get_close_matches(wanted, names, n=_NAMES_SHOWN, cutoff=alike)
    return f"There is {', '.join(near)}. " if near else ""


def _rights(warehouse: Warehouse) -> Finding:
    """Do once what the partition writer does and what the monitor's tables are made of, in tables of our own."""
    name = f"{STAGING_PREFIX}doctor__{uuid.uuid4().hex[:12]}"
    staging, replacing = f"{name}__staging", f"{name}__replacing"
    doing = "Trying what the daily load and the monitor do"
    try:
        warehouse.execute(
            f"CREATE TABLE `{name}` (event_date Date, n UInt8) ENGINE = MergeTree PARTITION BY event_date ORDER BY n",
            doing=doing,
        )
        warehouse.execute(f"CREATE TABLE `{staging}` AS `{name}`", doing=doing)
        warehouse.execute(f"INSERT INTO `{staging}` SELECT '2026-01-01', 1", doing=doing)
        warehouse.execute(f"ALTER TABLE `{name}` REPLACE PARTITION '2026-01-01' FROM `{staging}`", doing=doing)
        warehouse.execute(f"ALTER TABLE `{name}` DROP PARTITION '2026-01-01'", doing=doing)
        drop_leftovers(warehouse, tables.USERS)
        # A server may ask for a grant for each engine.
        warehouse.execute(f"CREATE TABLE `{replacing}` (n UInt8) ENGINE = ReplacingMergeTree ORDER BY n", doing=doing)
    finally:
        for table in (replacing, staging, name):
            warehouse.execute(f"DROP TABLE IF EXISTS `{table}`", doing=doing)
    return Finding("Rights", "ok", f"tables in {warehouse.database} can be created, filled, swapped and dropped")


def _own_tables(warehouse: Warehouse, settings: Settings) -> Finding:
    wanted = tables.all_tables(settings.dimensions)
    try:
        missing = missing_tables(warehouse, wanted)
    except SchemaMismatchError as error:
        text, _, remedy = str(error).partition("\nWhat to do: ")
        return Finding("Tables", "problem", text, remedy)
    if missing:
        return Finding("Tables", "note", f"not there yet, made on first use: {', '.join(missing)}")
    return Finding("Tables", "ok", f"all {len(wanted)} are there, with the columns this version writes")


def _source_columns(warehouse: Warehouse, settings: Settings, setting: str, table: str, file: str) -> Finding:
    """Are the columns the queries read there, with types they understand, and may they be read?"""
    database, name = table.split(".")
    subject = f"Source {table}"
    needed = {
        "feed_actions": ("user_id", "action", "time", *_ATTRIBUTES),
        "message_actions": ("user_id", "receiver_id", "time", *_ATTRIBUTES),
    }[file]
    rows = warehouse.query(
        "SELECT name, type FROM system.columns WHERE database = {database:String} AND table = {name:String}",
        {"database": database, "name": name},
        doing=f"Reading the columns of {table}",
    ).rows
    found = {row["name"]: row["type"] for row in rows}
    if not found:
        every_table = "SELECT concat(database, '.', name) AS name FROM system.tables"
        others = _names(warehouse, f"{every_table} WHERE lower(database) NOT IN {{ours:Array(String)}}")
        return Finding(
            subject,
            "problem",
            "it does not exist, or the account may not see it",
            f"{_there_are(table, others, _ALIKE)}Set {setting} to the table's name; GRANT SELECT ON {table} TO the "
            "account; or make the table by `metrics-platform load`.",
        )
    problems, remedies = [], []
    for column in needed:
        actual = settings.receiver_column if column == "receiver_id" else column
        pattern, wanted = _EXPECTED_TYPES[column]
        if actual not in found:
            problems.append(f"column {actual} is missing; expected {wanted}")
            near = [name for name in found if name in ("receiver_id", "reciever_id")]
            if column == "receiver_id" and near:
                remedies.append(f"Set METRICS_RECEIVER_COLUMN={near[0]}, which is there.")
        elif not re.fullmatch(pattern, _bare_type(found[actual])):
            problems.append(f"column {actual} has type {found[actual]}; expected {wanted}")
    if len(problems) > len(remedies):
        remedies.append(
            f"Mend the table (ALTER TABLE {table} ADD COLUMN …), or name a view that has these columns in {setting}."
        )
    if problems:
        return Finding(subject, "problem", "; ".join(problems), " ".join(remedies))
    return Finding(subject, "ok", f"has the {len(needed)} columns that are read")


def _source_times(warehouse: Warehouse, settings: Settings, table: str, first_days: list[datetime.date]) -> Finding:
    """Do the events' times make sense in the settings' zone and from the start date on? Adds the first event's day."""
    database, name = table.split(".")
    subject = f"Source {table}"
    (row,) = warehouse.query(
        "SELECT count() AS events, toDateTime(min(time), 'UTC') AS first, toDateTime(max(time), 'UTC') AS last, "
        "toDateTime(now(), 'UTC') AS now FROM {database:Identifier}.{name:Identifier}",
        {"database": database, "name": name},
        doing=f"Reading {table}",
    ).rows
    if not row["events"]:
        return Finding(
            subject, "note", "it is empty", "Load events (`metrics-platform load`), or wait for the product's."
        )
    first, last, now = (row[key].replace(tzinfo=datetime.UTC) for key in ("first", "last", "now"))
    local = f"{first.astimezone(settings.zone):%Y-%m-%d %H:%M} – {last.astimezone(settings.zone):%Y-%m-%d %H:%M}"
    detail = f"{row['events']:,} events, {local} {settings.timezone}"
    first_day = first.astimezone(settings.zone).date()
    first_days.append(first_day)
    if last > now + datetime.timedelta(minutes=10):
        return Finding(
            subject,
            "note",
            f"{detail}: the last lies in the future",
            "Are local times stored as if they were UTC? Compare with the product, and correct the times or "
            "METRICS_TIMEZONE."
            if last < now + datetime.timedelta(days=1)
            else "No day is computed before it is over. Are these events a mistake? Look at those after now().",
        )
    if first_day < settings.start_date:
        return Finding(
            subject,
            "note",
            f"{detail}: the first lie before METRICS_START_DATE = {settings.start_date}",
            f"Set METRICS_START_DATE={first_day} if users' attributes and first days are to count from there.",
        )
    return Finding(subject, "ok", detail)


def _late_first_event(first_day: datetime.date, start_date: datetime.date) -> Finding:
    days = (first_day - start_date).days
    return Finding(
        "Settings",
        "note",
        f"METRICS_START_DATE = {start_date}, and the first event is of {first_day}",
        f"Set METRICS_START_DATE={first_day}: else {days:,} day{'s' * (days > 1)} without events will be computed.",
    )


def _bare_type(kind: str) -> str:
    """A type without Nullable(…) and LowCardinality(…) around it."""
    while match := re.fullmatch(r"(?:Nullable|LowCardinality)\((.*)\)", kind):
        kind = match.group(1)
    return kind
