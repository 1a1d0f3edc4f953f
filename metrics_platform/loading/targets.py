"""The source tables events are loaded into: made where they are missing, otherwise respected as they are.

A table made by somebody else may have other types, lack columns of ours or have columns of its own. Values
are checked against the ranges of its types and cast to them by ClickHouse; what it has more takes its default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from metrics_platform.loading.events import Field, Source
from metrics_platform.loading.problems import LoadError, listed
from metrics_platform.loading.times import TimeRule
from metrics_platform.loading.values import ActionRule, GenderRule, IntegerRule, Rule, TextRule
from metrics_platform.settings import Settings
from metrics_platform.table_names import TableName, parse_table_name
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import create_database
from metrics_platform.warehouse.tables import read_sql

_WRAPPED = re.compile(r"(?:LowCardinality|Nullable)\((?P<inner>.*)\)")
_INTEGERS = {
    "UInt8": pa.uint8(), "UInt16": pa.uint16(), "UInt32": pa.uint32(), "UInt64": pa.uint64(),
    "Int8": pa.int8(), "Int16": pa.int16(), "Int32": pa.int32(), "Int64": pa.int64(),
}  # fmt: skip
_TEXTS = ("String", "FixedString", "Enum")


@dataclass(frozen=True)
class TargetColumn:
    """A column of the table: its type, that type without LowCardinality and Nullable, and whether it has a DEFAULT."""

    name: str
    type: str
    inner: str
    nullable: bool
    has_default: bool

    @classmethod
    def of(cls, name: str, type_: str, default_kind: str = "") -> TargetColumn:
        """A column as `system.columns` describes it."""
        inner = type_
        while match := _WRAPPED.fullmatch(inner):
            inner = match["inner"]
        return cls(name, type_, inner, "Nullable(" in type_, bool(default_kind))


@dataclass(frozen=True)
class Target:
    """A table events are loaded into."""

    database: str
    table: str
    columns: Mapping[str, TargetColumn]
    engine: str
    created: bool
    has_ttl: bool
    views: tuple[str, ...]

    @property
    def name(self) -> str:
        """database.table"""
        return str(TableName(self.database, self.table))


def prepare_target(settings: Settings, warehouse: Warehouse, source: Source) -> Target:
    """The table of `source`, created (and its database) if it is absent.

    Raises:
        WarehouseError: no right to create or to look.
        LoadError: what is there is no table that events can be loaded into.
    """
    name = settings.feed_table if source.name == "feed" else settings.messages_table
    database, table = parse_table_name(name)
    found = _look(warehouse, database, table)
    created = not found
    if created:
        create_database(warehouse, database)
        # The receiver's column is the one name in the schema files that a setting can change.
        sql = re.sub(r"\breceiver_id\b", settings.receiver_column, read_sql(f"schema/{source.schema}.sql"))
        parameters = {"database": database, "table": table}
        warehouse.execute(sql, parameters, doing=f"Creating table {name}", repeatable=True)
        found = _look(warehouse, database, table)
    (row,) = found
    _check_engine(name, row["engine"])
    columns = _columns(warehouse, database, table)
    target = Target(database, table, columns, row["engine"], created, bool(row["has_ttl"]), tuple(row["views"]))
    _check_columns(target, source, settings)
    return target


def rule_for(field: Field, column: TargetColumn, zone: str) -> Rule:
    """How values of `field` are read so that they fit the table's column."""
    if field.kind == "time":
        precise = column.inner.startswith("DateTime64")
        return TimeRule(pa.timestamp("us", "UTC") if precise else pa.uint32(), zone)
    if field.kind == "action":
        return ActionRule()
    if field.kind == "text":
        return TextRule(None if column.nullable else str(field.unknown))
    type_ = _INTEGERS.get(column.inner, _INTEGERS.get(field.type))
    low, high = _range(type_)
    if field.kind == "gender":
        if column.inner.startswith(_TEXTS):
            return GenderRule(pa.string(), None if column.nullable else "")
        # Where -1 does not fit: whatever is neither 1 nor 0 is read as not known.
        return GenderRule(type_, None if column.nullable else (-1 if low < 0 else high))
    expected = f"a whole number from {low} to {high}"
    unknown = None if column.nullable or field.unknown is None else int(field.unknown)
    required = field.required
    if unknown is not None and not low <= unknown <= high:
        required = True
        expected += f" (an empty value is none: the table's column {field.name} {column.type} cannot hold «not known»)"
    return IntegerRule(type_, low, high, required, None if required else unknown, expected)


def constant_for(field: Field, column: TargetColumn) -> Any | None:
    """The value (a pyarrow scalar) of a field the file does not have; None where the column's default is to decide."""
    if column.has_default or column.nullable:
        return None
    rule = rule_for(field, column, "UTC")
    if isinstance(rule, TextRule):
        return pa.scalar(rule.unknown, pa.string())
    if isinstance(rule, GenderRule) or (isinstance(rule, IntegerRule) and not rule.required):
        return pa.scalar(rule.unknown, rule.type)
    return None


def _look(warehouse: Warehouse, database: str, table: str) -> list[dict[str, Any]]:
    return warehouse.query(
        "SELECT engine, position(engine_full, ' TTL ') > 0 AS has_ttl, "
        "arrayMap((d, t) -> concat(d, '.', t), dependencies_database, dependencies_table) AS views "
        "FROM system.tables WHERE database = {database:String} AND name = {table:String}",
        {"database": database, "table": table},
        doing=f"Looking for table {database}.{table}",
    ).rows


def _columns(warehouse: Warehouse, database: str, table: str) -> dict[str, TargetColumn]:
    """The columns that an INSERT can fill."""
    rows = warehouse.query(
        "SELECT name, type, default_kind FROM system.columns WHERE database = {database:String} "
        "AND table = {table:String} AND default_kind NOT IN ('MATERIALIZED', 'ALIAS') ORDER BY position",
        {"database": database, "table": table},
        doing=f"Reading the columns of {database}.{table}",
    ).rows
    return {row["name"]: TargetColumn.of(row["name"], row["type"], row["default_kind"]) for row in rows}


def _check_engine(name: str, engine: str) -> None:
    if engine.endswith("MergeTree") and not engine.startswith(("Replicated", "Shared")):
        return
    what = "a view" if engine.endswith("View") else f"a table of engine {engine}"
    raise LoadError(
        f"{name} is {what}. Events are loaded by moving whole partitions into a MergeTree table of this one server, so "
        "that they arrive all or not at all; other tables have no such thing.\n"
        "What to do: name a MergeTree table in METRICS_FEED_TABLE or METRICS_MESSAGES_TABLE (a Distributed table's "
        "local one, a view's source), or insert with ClickHouse's own client."
    )


def _check_columns(target: Target, source: Source, settings: Settings) -> None:
    missing = [field.name for field in source.fields if field.required and field.name not in target.columns]
    if settings.receiver_column in missing:
        others = [name for name in ("receiver_id", "reciever_id") if name in target.columns]
        if others:
            raise LoadError(
                f"Table {target.name} has no column {settings.receiver_column}, but {others[0]}. Set "
                f"METRICS_RECEIVER_COLUMN={others[0]}."
            )
    if missing:
        raise LoadError(
            f"Table {target.name} has no column {listed(missing)}, so it cannot hold {source.title}. Name "
            "another table in METRICS_FEED_TABLE or METRICS_MESSAGES_TABLE, or add what is missing."
        )
    time = target.columns["time"]
    if not time.inner.startswith("DateTime"):
        raise LoadError(
            f"Column time of {target.name} is {time.type}; it must be DateTime or DateTime64, or days cannot be told. "
            "Name another table, or make the column a DateTime."
        )


def _range(type_: Any) -> tuple[int, int]:
    bits = int(type_.bit_width)
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if pa.types.is_signed_integer(type_) else (0, 2**bits - 1)
