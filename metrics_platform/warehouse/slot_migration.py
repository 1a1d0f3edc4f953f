"""Migrates `slot_metrics` and `verdicts` of earlier versions, which had a column per metric, to the catalogue's tables.

Each table is migrated in four steps: copy its rows day by day into `<table>_migrated`, rename the table to
`<table>_before_catalog`, attach the copied days to the new table, drop the copy. Copied rows carry the lowest version,
so that copying twice changes nothing and whatever is computed later replaces them. An interrupted migration continues
when it is run again: as long as the copy exists, all rows are copied once more. Incidents stay as they are.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from string import Template

from metrics_platform.catalog import Catalog, load_catalog
from metrics_platform.settings import Settings
from metrics_platform.table_names import quoted
from metrics_platform.time_windows import SLOT, SlotRange
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.ddl import create_table, drop_table, on_cluster
from metrics_platform.warehouse.errors import UNKNOWN_DATABASE, WarehouseError
from metrics_platform.warehouse.schema import SchemaMismatchError
from metrics_platform.warehouse.tables import SLOT_METRICS, VERDICTS, DailyTable, read_sql

# Versions are microseconds since 1970: a computed row always has a larger one.
_VERSION = 1
_KEYS = ("slot_start", "dimension", "dimension_value")
# What the tables of earlier versions have; they have no `event_date`.
_OLD_COLUMNS = {
    SLOT_METRICS.name: {*_KEYS, "views", "likes", "messages"},
    VERDICTS.name: {*_KEYS, "metric", "status"},
}
# The events of each source, in the columns of the wide table.
_EVENTS = {"feed_actions.events": "views + likes", "message_actions.events": "messages"}


@dataclass(frozen=True)
class Migrated:
    """A migrated table: how many days and rows of the old one were copied, and the name under which it is kept."""

    table: str
    days: int
    rows: int
    kept_as: str


def tables_to_migrate(warehouse: Warehouse) -> list[str]:
    """The tables of earlier versions, and those whose migration was interrupted.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer.
        SchemaMismatchError: there are two tables with the old columns.
    """
    columns = _columns(warehouse)
    return [table.name for table in (SLOT_METRICS, VERDICTS) if _source(table.name, columns)]


def migrate_slot_tables(warehouse: Warehouse, settings: Settings) -> list[Migrated]:
    """Migrate what `tables_to_migrate` names; does nothing where there is nothing to migrate.

    Values get the definitions of the built-in metrics, so that they are computed again only where METRICS_CATALOG
    defines a metric differently.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer; no row is lost. Running it again goes on.
        SchemaMismatchError: there are two tables with the old columns, or rows were not copied.
    """
    columns = _columns(warehouse)
    migrated = []
    for table in (SLOT_METRICS, VERDICTS):
        if source := _source(table.name, columns):
            migrated.append(_migrate(warehouse, settings, table, source, columns[source]))
    return migrated


def _migrate(
    warehouse: Warehouse, settings: Settings, table: DailyTable, source: str, columns: Collection[str]
) -> Migrated:
    doing = f"Migrating {table.name}"
    kept = _kept_name(table.name)
    copying = _copying(table, source, columns, settings)
    create_table(warehouse, table, copying.copy)
    days: list[datetime.date] = []
    rows = 0
    for day, slots in _slots_in(warehouse, source).by_day(settings.zone):
        if copied := copying.copy_day(warehouse, day.date, slots):
            days.append(day.date)
            rows += copied
    if source == table.name:
        rename = f"RENAME TABLE {quoted(source)} TO {quoted(kept)}{on_cluster(warehouse)}"
        warehouse.execute(rename, doing=doing)
    create_table(warehouse, table, table.name)
    for date in days:
        warehouse.execute(
            f"ALTER TABLE {quoted(table.name)} ATTACH PARTITION '{date}' FROM {quoted(copying.copy)}",
            doing=doing,
            repeatable=True,
        )
    drop_table(warehouse, copying.copy, doing=doing, repeatable=True)
    return Migrated(table.name, len(days), rows, kept)


@dataclass(frozen=True)
class _Copying:
    """Copies days of `source` into `copy` by `select`, which makes `rows_per_key` rows of each of its `keys`."""

    table: DailyTable
    source: str
    copy: str
    select: str
    keys: tuple[str, ...]
    rows_per_key: int

    def copy_day(self, warehouse: Warehouse, date: datetime.date, slots: SlotRange) -> int:
        """Copy the slots of a day, and verify that all are there; how many rows that are."""
        parameters = {
            "event_date": date,
            "version": _VERSION,
            "source": self.source,
            "start": f"{slots.start:%Y-%m-%d %H:%M:%S}",
            "end": f"{slots.end:%Y-%m-%d %H:%M:%S}",
        }
        expected = self.rows_per_key * warehouse.value(
            f"SELECT uniqExact({', '.join(self.keys)}) FROM {{source:Identifier}} "  # noqa: S608  (our names)
            "WHERE slot_start >= {start:DateTime('UTC')} AND slot_start < {end:DateTime('UTC')}",
            parameters,
            doing=f"Counting {self.source} of {date}",
        )
        if not expected:
            return 0
        names = ", ".join(column.name for column in self.table.columns)
        warehouse.execute(
            f"INSERT INTO {quoted(self.copy)} ({names})\n{self.select}",
            parameters,
            doing=f"Migrating {self.table.name} of {date}",
            repeatable=True,  # the rows replace each other
        )
        actual = warehouse.value(
            f"SELECT count() FROM {quoted(self.copy)} FINAL WHERE event_date = {{event_date:Date}}",  # noqa: S608
            parameters,
            doing=f"Verifying {self.copy} of {date}",
        )
        if actual != expected:
            raise SchemaMismatchError(
                f"{self.table.name} of {date}: {expected} rows were to be migrated, and {actual} are in {self.copy}; "
                f"{self.source} has all of them. Stop what else writes to these tables, run TRUNCATE TABLE "
                f"{self.copy}, and then `metrics-platform create-tables` again."
            )
        return int(actual)


def _copying(table: DailyTable, source: str, columns: Collection[str], settings: Settings) -> _Copying:
    copy = _copy_name(table.name)
    if table is VERDICTS:
        return _Copying(table, source, copy, read_sql("queries/migrate_verdicts.sql"), ("metric", *_KEYS), 1)
    measures = _measures(columns, load_catalog(settings.model_copy(update={"catalog": None})))
    select = Template(read_sql("queries/migrate_slot_metrics.sql")).substitute(measures=",\n    ".join(measures))
    return _Copying(table, source, copy, select, _KEYS, len(measures))


def _slots_in(warehouse: Warehouse, source: str) -> SlotRange:
    """From the first to the last slot of a table; empty where it has no rows."""
    first, last = (
        warehouse.query(
            "SELECT toUnixTimestamp(min(slot_start)), toUnixTimestamp(max(slot_start)) FROM {source:Identifier}",
            {"source": source},
            doing=f"Reading which slots {source} has",
        )
        .rows[0]
        .values()
    )
    start, end = (datetime.datetime.fromtimestamp(seconds, datetime.UTC) for seconds in (first, last))
    return SlotRange(start, end + SLOT if first else end)


def _measures(columns: Collection[str], builtin: Catalog) -> list[str]:
    """A tuple for each value in a row of the wide table; see `queries/migrate_slot_metrics.sql`.

    A column that no built-in metric is named as is copied, too: it was added to an earlier version.
    """
    measures = []
    for column in columns:
        if column in _KEYS:
            continue
        metric = builtin.metrics.get(column)
        value = numerator = _number(quoted(column))
        denominator = "NULL"
        if metric and metric.numerator and metric.denominator:
            numerator, denominator = _number(quoted(metric.numerator)), _number(quoted(metric.denominator))
        measures.append(_measure(column, value, numerator, denominator, metric.definition if metric else 0))
    return measures + [_measure(name, _number(sql), _number(sql), "NULL", 0) for name, sql in _EVENTS.items()]


def _measure(name: str, value: str, numerator: str, denominator: str, definition: int) -> str:
    nullable = "Nullable(Float64)"
    return f"('{name}', {value}, {numerator}, CAST({denominator}, '{nullable}'), toUInt64({definition}))"


def _number(sql: str) -> str:
    return f"toNullable(toFloat64({sql}))"


def _source(name: str, columns: Mapping[str, Collection[str]]) -> str | None:
    """The table whose rows are still to be copied; None: nothing is to be migrated."""
    kept = _kept_name(name)
    own = set(columns.get(name, ()))
    if _OLD_COLUMNS[name] <= own and "event_date" not in own:
        if kept in columns:
            raise SchemaMismatchError(
                f"{name} has the columns of an earlier version, and {kept}, which a migration leaves, exists as well. "
                f"Rename or drop {kept}, and run `metrics-platform create-tables`."
            )
        return name
    return kept if {kept, _copy_name(name)} <= set(columns) else None


def _columns(warehouse: Warehouse) -> dict[str, list[str]]:
    """Table → columns, of those tables that take part and exist."""
    names = [
        name for table in (SLOT_METRICS.name, VERDICTS.name) for name in (table, _kept_name(table), _copy_name(table))
    ]
    try:
        rows = warehouse.query(
            "SELECT table, groupArray(name) AS names FROM (SELECT table, name FROM system.columns "
            "WHERE database = currentDatabase() AND table IN {names:Array(String)} ORDER BY table, position) "
            "GROUP BY table",
            {"names": names},
            doing="Reading the tables' columns",
        ).rows
    except WarehouseError as error:
        if error.code != UNKNOWN_DATABASE:
            raise
        return {}
    return {row["table"]: row["names"] for row in rows}


def _copy_name(table: str) -> str:
    return f"{table}_migrated"


def _kept_name(table: str) -> str:
    return f"{table}_before_catalog"
