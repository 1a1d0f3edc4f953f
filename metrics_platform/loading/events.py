"""The two kinds of events: their fields, their columns in a file, and the SQL that reads and checks them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from metrics_platform.loading.files import EventFile, LoadError, listed
from metrics_platform.settings import Settings
from metrics_platform.table_names import TableName, parse_table_name, quote_identifier
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import create_database
from metrics_platform.warehouse.source_rows import inner_type
from metrics_platform.warehouse.tables import read_sql

Kind = Literal["integer", "gender", "action", "time", "text"]
_INTEGER = re.compile(r"(?P<unsigned>U?)Int(?P<bits>\d+)")
RECEIVERS = ("receiver_id", "reciever_id")


@dataclass(frozen=True)
class Field:
    """A column of an event.

    Attributes:
        unknown: what is written for an empty value or an absent column; None: a value is required.
    """

    name: str
    kind: Kind
    unknown: str | None


@dataclass(frozen=True)
class Source:
    """A kind of events: its option (`--feed`), what it is called, and its fields."""

    name: Literal["feed", "messages"]
    title: str
    fields: tuple[Field, ...]

    def find(self, columns: Sequence[str], path: Path, renamed: Mapping[str, str]) -> dict[str, int]:
        """Field → the position of its column in a file with these columns. `renamed`: field → other name.

        Raises:
            LoadError: a required column is missing, or two columns hold the same field.
        """
        names = [name.strip().lower() for name in columns]
        positions: dict[str, int] = {}
        for field in self.fields:
            spellings = {field.name, *(RECEIVERS if field.name in RECEIVERS else ())}
            if (other := renamed.get(field.name, "").lower()) in names:
                spellings = {other}
            matching = [position for position, name in enumerate(names) if name in spellings]
            if len(matching) > 1:
                duplicates = " and ".join(columns[position] for position in matching)
                raise LoadError(
                    f"{path}: the columns {duplicates} both mean {field.name}. Remove or rename one of them."
                )
            if matching:
                positions[field.name] = matching[0]
        missing = [field.name for field in self.fields if field.unknown is None and field.name not in positions]
        if missing:
            raise LoadError(self._without(missing, columns, path))
        return positions

    def _without(self, missing: list[str], columns: Sequence[str], path: Path) -> str:
        expected = [field.name if field.unknown is None else f"[{field.name}]" for field in self.fields]
        names = {name.strip().lower() for name in columns}
        if self.name == "feed" and names & {*RECEIVERS}:
            remedy = "these look like messages: name the file with --messages."
        elif self.name == "messages" and "action" in names:
            remedy = "these look like feed events: name the file with --feed."
        else:
            remedy = (
                "if a column has another name, give it: --column time=event_time. If the file has no header line, add "
                "one with these names."
            )
        return (
            f"{path}: {listed(missing)} missing among its columns, so these are not {self.title}.\n"
            f"  expected: {', '.join(expected)} (in any order; those in brackets may be missing)\n"
            f"  found:    {listed(columns) or 'nothing'}\n"
            f"What to do: {remedy}"
        )


def messages_source(receiver_column: str) -> Source:
    """Messages. A file may use either spelling of the receiver's column, or the table's name for it."""
    fields = (
        Field("user_id", "integer", None),
        Field(receiver_column, "integer", None),
        Field("time", "time", None),
    )
    return Source("messages", "messages", fields + _ATTRIBUTES)


_ATTRIBUTES = (
    Field("gender", "gender", "-1"),
    Field("age", "integer", "0"),
    *(Field(name, "text", "") for name in ("country", "city", "os", "source")),
    Field("exp_group", "integer", "-1"),
)
FEED = Source(
    "feed",
    "feed events",
    (
        Field("user_id", "integer", None),
        Field("post_id", "integer", "0"),
        Field("action", "action", None),
        Field("time", "time", None),
        *_ATTRIBUTES,
    ),
)


@dataclass(frozen=True)
class Column:
    """A column of a source table."""

    type: str
    has_default: bool

    @property
    def inner(self) -> str:
        """Its type without LowCardinality and Nullable."""
        return inner_type(self.type)

    @property
    def is_nullable(self) -> bool:
        return "Nullable(" in self.type


@dataclass(frozen=True)
class Target:
    """A source table, the columns that an INSERT can fill, and the materialized views that read it."""

    table: TableName
    columns: Mapping[str, Column]
    created: bool
    has_ttl: bool
    views: tuple[str, ...]


def create_source_tables(settings: Settings, warehouse: Warehouse) -> None:
    """Create missing source tables."""
    for source in (FEED, messages_source(settings.receiver_column)):
        prepare_target(settings, warehouse, source)


def prepare_target(settings: Settings, warehouse: Warehouse, source: Source) -> Target:
    """The table of `source`. It and its database are created if missing.

    Raises:
        WarehouseError: a right to create or read is missing.
        LoadError: the existing table cannot hold these events.
    """
    name = settings.feed_table if source.name == "feed" else settings.messages_table
    table = parse_table_name(name)
    existing = _existing(warehouse, table)
    created = not existing
    if created:
        create_database(warehouse, table.database)
        schema = "feed_actions" if source.name == "feed" else "message_actions"
        # The receiver's column is the only name in the schema files that a setting can change.
        sql = re.sub(r"\breceiver_id\b", settings.receiver_column, read_sql(f"schema/{schema}.sql"))
        warehouse.execute(sql, table._asdict(), operation=f"Creating table {table}", repeatable=True)
        existing = _existing(warehouse, table)
    (row,) = existing
    _check_engine(table, row["engine"])
    target = Target(table, _columns(warehouse, table), created, bool(row["has_ttl"]), tuple(row["views"]))
    _check_columns(target, source, settings)
    return target


def _existing(warehouse: Warehouse, table: TableName) -> list[dict[str, Any]]:
    return warehouse.query(
        "SELECT engine, position(engine_full, ' TTL ') > 0 AS has_ttl, "
        "arrayMap((d, t) -> concat(d, '.', t), dependencies_database, dependencies_table) AS views "
        "FROM system.tables WHERE database = {database:String} AND name = {table:String}",
        table._asdict(),
        operation=f"Looking for table {table}",
    ).rows


def _columns(warehouse: Warehouse, table: TableName) -> dict[str, Column]:
    rows = warehouse.query(
        "SELECT name, type, default_kind FROM system.columns WHERE database = {database:String} "
        "AND table = {table:String} AND default_kind NOT IN ('MATERIALIZED', 'ALIAS') ORDER BY position",
        table._asdict(),
        operation=f"Reading the columns of {table}",
    ).rows
    return {row["name"]: Column(row["type"], bool(row["default_kind"])) for row in rows}


def _check_engine(table: TableName, engine: str) -> None:
    if engine.endswith("MergeTree") and not engine.startswith(("Replicated", "Shared")):
        return
    what = "a view" if engine.endswith("View") else f"a table of engine {engine}"
    raise LoadError(
        f"{table} is {what}. Events are loaded by moving whole partitions into a MergeTree table of this one server, "
        "so that all of them arrive or none.\n"
        "What to do: name a MergeTree table in METRICS_FEED_TABLE or METRICS_MESSAGES_TABLE (a Distributed table's "
        "local one, a view's source), or insert with ClickHouse's own client."
    )


def _check_columns(target: Target, source: Source, settings: Settings) -> None:
    missing = [field.name for field in source.fields if field.unknown is None and field.name not in target.columns]
    others = [name for name in RECEIVERS if name in target.columns]
    if settings.receiver_column in missing and others:
        raise LoadError(
            f"Table {target.table} has no column {settings.receiver_column}, but {others[0]}. Set "
            f"METRICS_RECEIVER_COLUMN={others[0]}."
        )
    if missing:
        raise LoadError(
            f"Table {target.table} has no column {listed(missing)}, so it cannot hold {source.title}. Name another "
            "table in METRICS_FEED_TABLE or METRICS_MESSAGES_TABLE, or add what is missing."
        )
    if not target.columns["time"].inner.startswith("DateTime"):
        raise LoadError(
            f"Column time of {target.table} is {target.columns['time'].type}; it must be DateTime or DateTime64. Name "
            "another table, or change the column."
        )


@dataclass(frozen=True)
class Checks:
    """The SQL that turns the rows of a file into events of the target.

    Attributes:
        columns: the target's columns that are written, as SQL; `values` are their names in the table of checked rows.
        types: the declarations of `values`.
        sql: a SELECT over the rows of a file of line, reason (empty: it is good), row (the text of a bad one),
            is_local, odd_gender, and the values.
    """

    columns: str
    values: str
    types: str
    sql: str


_TYPES = {"time": "Nullable(DateTime64(6, 'UTC'))", "action": "Nullable(String)", "text": "Nullable(String)"}


def checks_for(
    source: Source, target: Target, file: EventFile, places: Mapping[str, int], zone: str, *, future: bool
) -> Checks:
    """Make the SQL that reads rows of a file (line, text, problem) as events that `target` can hold."""
    fields = file.fields(sorted(places.values()))
    texts = {name: f"fields[{fields[place]}]" for name, place in places.items()}
    names: list[str] = []
    types: list[str] = []
    values: list[str] = []
    reasons: list[str] = []
    for field in source.fields:
        column = target.columns.get(field.name)
        if column is None or (field.name not in texts and (column.has_default or column.is_nullable)):
            continue
        alias = f"value_{len(names)}"
        value, reason = _value(field, column, texts.get(field.name, "''"), alias)
        names.append(field.name)
        types.append(f"{alias} {_TYPES.get(field.kind, f'Nullable({column.inner})')}")
        values.append(f"{value} AS {alias}")
        reasons.append(reason)
    time, gender = texts["time"], texts.get("gender", "''")
    checks, rows = (read_sql(f"queries/load/{name}.sql") for name in ("checks", "split_rows"))
    sql = (
        f"{checks}SELECT line, multiIf(problem != '', problem, length(fields) != {len(fields)}, "  # noqa: S608
        f"concat('it has ', toString(length(fields)), ' fields, the header has {len(fields)}'), "
        "NOT isValidUTF8(text), 'it is not UTF-8 (convert the file, e.g. with `iconv -t utf-8`)', "
        f"arrayStringConcat(arrayFilter(reason -> reason != '', [{', '.join(reasons)}]), '; ')) AS reason, "
        "if(reason = '', '', replaceAll(trim(TRAILING '\\r' FROM text), '\\x1F', ',')) AS row, "
        f"is_local_time({time}) AS is_local, "
        f"if(isNull(gender({gender})), shown({gender}), '') AS odd_gender, {', '.join(values)} FROM ({rows})"
    )
    for name, literal in {
        "zone": f"'{zone}'",
        "delimiter": f"'{file.delimiter}'",
        "future": str(future).lower(),
    }.items():
        sql = sql.replace(f"{{{name}}}", literal)
    aliases = ", ".join(f"value_{number}" for number in range(len(names)))
    return Checks(", ".join(map(quote_identifier, names)), aliases, ", ".join(types), sql)


def _value(field: Field, column: Column, text: str, alias: str) -> tuple[str, str]:
    """The SQL of a field's value, and of the reason why it is invalid (empty: it is valid)."""
    is_empty = f"is_no_number({text})" if field.kind == "integer" else f"is_empty({text})"
    if field.unknown is not None and not column.is_nullable:
        filled = f"if({is_empty}, '{field.unknown}', {text})"
    else:
        filled = text
    expected = ""
    match field.kind:
        case "time":
            value = f"instant({text})"
            problem = f"time_problem({text}, {alias})"
            return value, f"if({problem} = '', '', {_reason(field, text, problem)})"
        case "integer":
            value = f"accurateCastOrNull(whole_number({filled}), '{column.inner}')"
            expected = f"'expected a whole number {_range(column.inner)}'"
            if field.unknown is not None and not column.is_nullable:
                expected = (
                    f"if({is_empty}, 'the table\\'s column {column.type} cannot hold an unknown value', {expected})"
                )
        case "gender":
            return _gender(column, text), "''"
        case "action":
            value, expected = f"action({text})", "'expected view or like'"
        case "text":
            return (f"nullIf({text}, '')" if column.is_nullable else filled), "''"
    is_wrong = f"isNull({alias})"
    if field.unknown is not None and column.is_nullable:
        is_wrong += f" AND NOT {is_empty}"
    return value, f"if({is_wrong}, {_reason(field, text, expected)}, '')"


def _gender(column: Column, text: str) -> str:
    """The gender as the table stores it: a number (-1 unknown, in an unsigned column the largest), or a word."""
    if _INTEGER.fullmatch(column.inner):
        value = f"nullIf(ifNull(gender({text}), -1), -1)" if column.is_nullable else f"ifNull(gender({text}), -1)"
        return f"CAST({value}, '{f'Nullable({column.inner})' if column.is_nullable else column.inner}')"
    unknown = "NULL" if column.is_nullable else "''"
    return f"multiIf(gender({text}) = 1, 'male', gender({text}) = 0, 'female', gender({text}) = -1, {unknown}, {text})"


def _reason(field: Field, text: str, expected: str) -> str:
    return f"concat('{field.name} is ', if({text} = '', 'empty', shown({text})), '; ', {expected})"


def _range(type_: str) -> str:
    if not (match := _INTEGER.fullmatch(type_)):
        return f"({type_})"
    bits = int(match["bits"])
    low, high = (0, 2**bits - 1) if match["unsigned"] else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return f"from {low} to {high}"
