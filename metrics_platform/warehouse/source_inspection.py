"""What `doctor` looks at in the sources of the catalogue: tables, columns, types, times and values."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import partial

from metrics_platform.catalog import Source, load_catalog_or_builtin
from metrics_platform.findings import Finding, looked_at
from metrics_platform.settings import Settings
from metrics_platform.warehouse.catalog_check import CheckedCatalog, check_catalog
from metrics_platform.warehouse.client import Parameters, Warehouse
from metrics_platform.warehouse.daily_sources import DailySources
from metrics_platform.warehouse.source_rows import SourceRows, resolve

_SETTINGS = {"feed_actions": "METRICS_FEED_TABLE", "message_actions": "METRICS_MESSAGES_TABLE"}
_RECEIVERS = ("receiver_id", "reciever_id")
_NAMES_SHOWN = 5
_ALIKE = 0.6
# Values are looked at in the last days of events: what the product writes now.
_VALUES_OF_DAYS = 7
_VALUES_SHOWN = 5


def inspect_sources(warehouse: Warehouse, settings: Settings) -> Generator[Finding, None, datetime.date | None]:
    """Look at every source and at every entry of the catalogue that is computed from it.

    Returns the day of the first event of all; None where no source has one.
    """
    catalog = load_catalog_or_builtin(settings)
    checked = check_catalog(warehouse, catalog)
    first_days: list[datetime.date] = []
    for source in catalog.sources.values():
        yield looked_at(f"Source {source.table}", partial(_mapping, warehouse, source, checked))
        rows = checked.rows.get(source.name)
        if rows is not None:
            yield looked_at(f"Source {source.table}", partial(_times, warehouse, settings, rows, first_days))
            yield from _values(warehouse, rows)
    for entry, problem in checked.problems.items():
        section, _, name = entry.partition(".")
        # A metric of a source that cannot be read is not computed either: the source says why.
        if section == "dimensions" or (section == "metrics" and catalog.sources_of(name) <= checked.rows.keys()):
            yield Finding(
                "Catalogue", "problem", problem, "Correct the entry in METRICS_CATALOG; the others are computed."
            )
    yield from _daily_load(DailySources(warehouse, catalog), checked)
    if len(first_days) == len(catalog.sources) and min(first_days) > settings.start_date:
        yield _late_first_event(min(first_days), settings.start_date)
    return min(first_days, default=None)


def _daily_load(sources: DailySources, checked: CheckedCatalog) -> Iterator[Finding]:
    """What the daily load needs beyond the metrics: all attributes of users, whatever events are sliced by."""
    for problem in sources.problems():
        # An entry that no metric can be computed with was named before.
        if not problem.startswith(tuple(checked.problems)):
            text, _, remedy = problem.partition(" What to do: ")
            yield Finding("Daily load", "problem", text, remedy)


def source_tables(settings: Settings) -> Mapping[str, str]:
    """Source → its table, for the grants; of the built-in catalogue where METRICS_CATALOG is not valid."""
    catalog = load_catalog_or_builtin(settings)
    return {name: str(source.table) for name, source in catalog.sources.items()}


def _mapping(warehouse: Warehouse, source: Source, checked: CheckedCatalog) -> Finding:
    """Does the source's table have what the catalogue names?"""
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
        doing=f"Reading the engine of {source.table}",
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
    """What to set, for a table or a column that is not there."""
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
        there = there_is(str(source.table), tables, _ALIKE)
        create = "; or create the table with `metrics-platform load`" if setting else ""
        key = setting or f"sources.{source.name}.table"
        return f"{there}Set {key} to the table's name; GRANT SELECT ON {source.table} TO the account{create}."
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
        doing=f"Reading {table}",
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
    looks = []
    if "action" in source.columns:
        looks.append(("action", "toString(action)", "action NOT IN ('view', 'like')", "are neither views nor likes"))
    gender = next((dimension for dimension in source.dimensions if dimension.name == "gender"), None)
    if gender is not None and gender.is_builtin and "gender" not in rows.missing:
        unknown = f"({gender.sql}) IS NULL AND ifNull(toString(gender), '') NOT IN ('', '-1')"
        looks.append(("gender", "toString(gender)", unknown, "count as unknown"))
    for column, shown, condition, consequence in looks:
        found = warehouse.query(
            f"SELECT {shown} AS value, count() AS events, sum(count()) OVER () AS unrecognised "  # noqa: S608
            f"FROM {rows.sql} WHERE time >= (SELECT max(time) FROM {rows.sql}) - toIntervalDay({_VALUES_OF_DAYS}) "
            f"AND ({condition}) GROUP BY value ORDER BY events DESC, value LIMIT {_VALUES_SHOWN}",
            doing=f"Reading values of {column} in {source.table}",
        ).rows
        if found:
            listed = ", ".join(f"{row['value']!r} ({row['events']:,})" for row in found)
            yield Finding(
                f"Source {source.table}",
                "note",
                f"{found[0]['unrecognised']:,} events of the last {_VALUES_OF_DAYS} days have an unrecognised "
                f"{column}: {listed}. They {consequence}",
                f"Map them in METRICS_CATALOG, under sources.{source.name}.columns.{column} (docs/catalog.md).",
            )


def _late_first_event(first_day: datetime.date, start_date: datetime.date) -> Finding:
    days = (first_day - start_date).days
    return Finding(
        "Settings",
        "note",
        f"METRICS_START_DATE = {start_date}, but the first event is on {first_day}",
        f"Set METRICS_START_DATE={first_day}: else {days:,} day{'s' * (days > 1)} without events will be computed.",
    )


def names_of(warehouse: Warehouse, query: str, parameters: Parameters) -> list[str]:
    """The column `name` of a query."""
    return [str(row["name"]) for row in warehouse.query(query, parameters, doing="Looking for names").rows]


def there_is(wanted: str, names: Sequence[str], alike: float = 0.0) -> str:
    """What a mistyped name may have been meant to be, as a sentence: the names that are `alike` (0 to 1)."""
    near = difflib.get_close_matches(wanted, names, n=_NAMES_SHOWN, cutoff=alike)
    return f"There is {', '.join(near)}. " if near else ""
