"""Migrate `slot_metrics` and `verdicts` of earlier versions, which had a column per metric, to the catalogue's tables.

Each table is migrated in four steps: copy its rows into `<table>_migrated`, rename the table to
`<table>_before_catalog`, attach the copied days to the new table, drop the copy. Copied rows carry the lowest version,
so that copying twice changes nothing and whatever is computed later replaces them. An interrupted migration continues
when it is run again: as long as the copy exists, all rows are copied once more. Incidents stay as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from metrics_platform.catalog import Metric, load_catalog
from metrics_platform.settings import Settings
from metrics_platform.table_names import quote_identifier
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import (
    SchemaMismatchError,
    create_table,
    drop_table,
    existing_columns,
    on_cluster,
)
from metrics_platform.warehouse.tables import SLOT_METRICS, VERDICTS, DailyTable

_TABLES = (SLOT_METRICS, VERDICTS)
_KEYS = ("slot_start", "dimension", "dimension_value")
# What the tables of earlier versions have; they have no `event_date`.
_OLD_COLUMNS = {
    SLOT_METRICS.name: {*_KEYS, "views", "likes", "messages"},
    VERDICTS.name: {*_KEYS, "metric", "status"},
}
# The events of each source, in the columns of the wide table.
_EVENTS = {"feed_actions.events": "views + likes", "message_actions.events": "messages"}
# The end of each row: versions are microseconds since 1970, so a computed row always has a larger one.
_END = "1 AS version, 0 AS is_deleted"


@dataclass(frozen=True)
class Migrated:
    """A migrated table: how many days and rows of the old one were copied, and the name under which it is kept."""

    table: str
    days: int
    rows: int
    kept_as: str


def tables_to_migrate(warehouse: Warehouse) -> list[str]:
    """The tables of earlier versions, and those with an interrupted migration.

    Raises:
        SchemaMismatchError: there are two tables with the old columns.
    """
    columns = _columns(warehouse)
    return [table.name for table in _TABLES if _source(table.name, columns)]


def migrate_slot_tables(warehouse: Warehouse, settings: Settings) -> list[Migrated]:
    """Migrate what `tables_to_migrate` names; does nothing where there is nothing to migrate.

    Values get the definitions of the built-in metrics, so that they are computed again only where METRICS_CATALOG
    defines a metric differently.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer; no row is lost. Running it again goes on.
        SchemaMismatchError: there are two tables with the old columns, or rows were not copied.
    """
    columns = _columns(warehouse)
    return [
        _migrate(warehouse, settings, table, source, columns[source])
        for table in _TABLES
        if (source := _source(table.name, columns))
    ]


def _migrate(
    warehouse: Warehouse, settings: Settings, table: DailyTable, source: str, columns: Collection[str]
) -> Migrated:
    operation = f"Migrating {table.name}"
    copy, kept = _copy_name(table.name), _kept_name(table.name)
    create_table(warehouse, table, copy)
    rows = _copy(warehouse, settings, table, source, columns)
    if source == table.name:
        rename = f"RENAME TABLE {quote_identifier(source)} TO {quote_identifier(kept)}{on_cluster(warehouse)}"
        warehouse.execute(rename, operation=operation)
    create_table(warehouse, table, table.name)
    days = warehouse.query(f"SELECT DISTINCT event_date FROM {quote_identifier(copy)}", operation=operation).rows  # noqa: S608
    for day in days:
        warehouse.execute(
            f"ALTER TABLE {quote_identifier(table.name)} ATTACH PARTITION '{day['event_date']}' "
            f"FROM {quote_identifier(copy)}",
            operation=operation,
            repeatable=True,
        )
    drop_table(warehouse, copy, operation=operation, repeatable=True)
    return Migrated(table.name, len(days), rows, kept)


def _copy(warehouse: Warehouse, settings: Settings, table: DailyTable, source: str, columns: Collection[str]) -> int:
    """Copy all rows of `source` and verify their number. Returns it."""
    operation, copy = f"Migrating {table.name}", _copy_name(table.name)
    day = "toDate(slot_start, {zone:String}) AS event_date"
    if table is VERDICTS:
        keys: tuple[str, ...] = ("metric", *_KEYS)
        rows_per_key = 1
        select = f"SELECT {day}, *, {_END} FROM {{source:Identifier}}"  # noqa: S608
    else:
        measures = list(_measures(columns, load_catalog(settings.model_copy(update={"catalog": None})).metrics))
        keys, rows_per_key = _KEYS, len(measures)
        select = (
            f"SELECT {day}, slot_start, measure.1, dimension, dimension_value, measure.2, measure.3, measure.4, "  # noqa: S608
            f"measure.5, {_END} FROM {{source:Identifier}} ARRAY JOIN [{', '.join(measures)}] AS measure"
        )
    parameters = {"source": source, "zone": settings.timezone}
    names = ", ".join(column.name for column in table.columns)
    warehouse.execute(
        f"INSERT INTO {quote_identifier(copy)} ({names}) {select}",
        parameters,
        operation=operation,
        repeatable=True,  # the rows replace each other
        settings={"max_partitions_per_insert_block": 0},
    )
    count_keys = f"SELECT uniqExact({', '.join(keys)}) FROM {{source:Identifier}}"  # noqa: S608
    expected = rows_per_key * warehouse.value(count_keys, parameters, operation=operation)
    actual = warehouse.value(f"SELECT count() FROM {quote_identifier(copy)} FINAL", operation=operation)  # noqa: S608
    if actual != expected:
        raise SchemaMismatchError(
            f"{table.name}: only {actual} of {expected} rows were migrated to {copy}; {source} has all of them. "
            f"Stop everything else that writes to these tables, run TRUNCATE TABLE {copy}, and then `metrics-platform "
            "create-tables` again."
        )
    return int(actual)


def _measures(columns: Collection[str], builtin: Mapping[str, Metric]) -> Iterator[str]:
    """A tuple (metric, value, numerator, denominator, definition) for each value in a row of the wide table.

    A column that no built-in metric is named as is copied, too: it was added to an earlier version.
    """
    for column in columns:
        if column in _KEYS:
            continue
        metric = builtin.get(column)
        numerator, denominator = quote_identifier(column), "NULL"
        if metric and metric.numerator and metric.denominator:
            numerator, denominator = quote_identifier(metric.numerator), quote_identifier(metric.denominator)
        yield _measure(column, quote_identifier(column), numerator, denominator, metric.definition if metric else 0)
    for name, sql in _EVENTS.items():
        yield _measure(name, sql, sql, "NULL", 0)


def _measure(name: str, value: str, numerator: str, denominator: str, definition: int) -> str:
    numbers = ", ".join(f"CAST({sql}, 'Nullable(Float64)')" for sql in (value, numerator, denominator))
    return f"('{name}', {numbers}, toUInt64({definition}))"


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
    names = [name for table in _TABLES for name in (table.name, _kept_name(table.name), _copy_name(table.name))]
    return {name: list(types) for name, types in existing_columns(warehouse, names).items()}


def _copy_name(table: str) -> str:
    return f"{table}_migrated"


def _kept_name(table: str) -> str:
    return f"{table}_before_catalog"
