"""A source of the catalogue as rows: the subquery that maps its table to `user`, `receiver`, `time` and named columns.

Every query on events reads a source through it, for the day and for the slots, so that a row means the same everywhere.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

from metrics_platform import expressions
from metrics_platform.catalog import Dimension, Source
from metrics_platform.settings import Settings
from metrics_platform.table_names import quote_identifier
from metrics_platform.time_windows import Slot, first_instant, slot_at
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.schema import tables_exist
from metrics_platform.warehouse.tables import METRIC_DAILY, SLOT_METRICS, DailyTable, read_sql

_INTEGER = re.compile(r"U?Int(8|16|32|64)")
_CONDITION = re.compile(r"U?Int(8|16|32|64)|Bool|Nothing")
_TIME = re.compile(r"DateTime(64)?(\(.*\))?")
_IDS = "an integer; write `sipHash64({0})` for text and UUIDs"
_TIMES = {
    "String": "a DateTime; write `parseDateTimeBestEffort({0})`, or set the source's `timezone`",
    "Date": "a DateTime; a date has no time of day, so slots and days in another zone are unknown",
    "Date32": "a DateTime; a date has no time of day, so slots and days in another zone are unknown",
}
# ClickHouse uses the key of the table through these two, and reads everything through fromUnixTimestamp64Milli.
_EPOCH = "a DateTime; write `toDateTime({0})` for seconds since 1970, `toDateTime(intDiv({0}, 1000))` for milliseconds"
NOT_AN_AGGREGATE = 215
# An odd number whose powers spread the hashes of several columns over 64 bits: (a, b) and (b, a) differ.
_SPREAD = 0x9E3779B97F4A7C15
# ClickHouse's error code → the remedy where an expression of the catalogue causes it.
_REMEDIES = {
    16: "Correct the column's name, or map it under `columns`.",
    47: "Correct the column's name, or map it under `columns`.",
    46: "Correct the function's name.",
    43: "Convert the argument, as in toFloat64OrNull(amount).",
    62: "Write one SQL expression.",
    153: "Guard the division, as in intDivOrZero(a, b) or a / nullIf(b, 0).",
    184: "Write one aggregate inside another only through a function over arrays.",
    NOT_AN_AGGREGATE: "Put every column inside an aggregate, such as sum(amount).",
    497: "Grant the account what the message names.",
}


class SourceError(RuntimeError):
    """An entry of the catalogue does not fit the source's table. The text names the entry and the remedy."""


class RefusedError(RuntimeError):
    """ClickHouse refuses an expression. The text has the reason and the remedy."""


@dataclass(frozen=True)
class SourceRows:
    """A source, resolved against its table.

    Attributes:
        sql: the subquery, in brackets, with the columns `user` (where the source has one), `receiver`, `time`, those of
            `columns`, and the columns of the table that are used.
        columns: the names of these columns.
        without_user: a subquery with the column `time` of the rows that are left out, because their user or receiver is
            NULL.
        missing: columns of built-in dimensions that the table does not have; they are NULL.
    """

    source: Source
    sql: str
    columns: tuple[str, ...]
    without_user: str
    missing: tuple[str, ...] = ()

    def sliced_by(self, *dimensions: Dimension) -> SourceRows:
        """The same rows with these dimensions only."""
        return replace(self, source=replace(self.source, dimensions=dimensions))

    def render(self, sql: str) -> str:
        """`sql` with `$rows` replaced by the subquery."""
        return sql.replace("$rows", self.sql)


def resolve(warehouse: Warehouse, source: Source, used: Iterable[str] = ()) -> SourceRows:
    """Map a source's table as it is now. `used` are SQL expressions over the rows, beside those of the dimensions.

    Raises:
        SourceError: the table is not there, a column is missing or has a type that cannot be used.
    """
    columns = _columns(warehouse, source)
    mapped = {name: sql for name, sql in source.columns.items() if sql is not None}
    undefined = {name for name, sql in source.columns.items() if sql is None}
    wanted = set().union(*(expressions.names_in(sql) for sql in used)) if used else set()
    for dimension in source.dimensions:
        names = expressions.names_in(dimension.sql)
        wanted |= names
        if dimension.is_builtin:
            undefined |= {
                name
                for name in expressions.column_names_in(dimension.sql)
                if name not in columns and name not in mapped
            }
    own = {"time": source.time, "user": source.user, "receiver": source.receiver}
    read = {name: sql for name, sql in mapped.items() if name in wanted}
    named = {**own, "where": source.where, **{f"columns.{name}": sql for name, sql in read.items()}}
    types = _types(warehouse, source, columns[0], {name: sql for name, sql in named.items() if sql is not None})
    if source.where and not _CONDITION.fullmatch(inner_type(types["where"])):
        raise SourceError(
            f"sources.{source.name}.where = {source.where!r} is {types['where']}; "
            "write a condition, such as status = 'ok'."
        )
    usable = {name: _checked_expression(source, name, sql, types[name]) for name, sql in own.items() if sql is not None}
    known = {name: f"assumeNotNull({sql})" if can_be_null else sql for name, (sql, can_be_null) in usable.items()}
    selected = {**known, **read, **dict.fromkeys(sorted(undefined), "CAST(NULL, 'LowCardinality(Nullable(String))')")}
    taken = {*own, *mapped, *undefined}
    selected |= {name: quote_identifier(name) for name in columns if name in wanted and name not in taken}
    nullable = {name: sql for name, (sql, can_be_null) in usable.items() if can_be_null}
    where = [f"({source.where})"] if source.where else []
    users = [f"isNull({sql})" for name, sql in nullable.items() if name != "time"]
    return SourceRows(
        source,
        _subquery(source, selected, [*(f"isNotNull({sql})" for sql in nullable.values()), *where]),
        tuple(selected),
        _subquery(source, {"time": known["time"]}, [f"({' OR '.join(users) or 'false'})", *where]),
        tuple(sorted(undefined - set(source.columns))),
    )


def _subquery(source: Source, selected: dict[str, str], conditions: list[str]) -> str:
    columns = [
        f"        {sql}" if sql == quote_identifier(name) else f"        {sql} AS {quote_identifier(name)}"
        for name, sql in selected.items()
    ]
    lines = ["(", "    SELECT", ",\n".join(columns), f"    FROM {source.table.sql}"]
    lines += [f"    WHERE {' AND '.join(conditions)}"] if conditions else []
    return "\n".join([*lines, ")"])


def hash_of(values: Iterable[str]) -> str:
    """The SQL of one 64-bit hash of several values; NULL is a value like any other.

    The hash of a single LowCardinality column is computed on its dictionary; of several together, for every row.
    """
    terms = [f"ifNull(cityHash64({sql}), 0) * {pow(_SPREAD, number, 2**64)}" for number, sql in enumerate(values)]
    return " + ".join(terms) or "toUInt64(0)"


def slice_name_sql(expression: str) -> str:
    """The SQL of a slice's name: text without blanks around it, `unknown` for NULL and empty text."""
    return f"ifNull(nullIf(trimBoth(toString({expression})), ''), 'unknown')"


def _columns(warehouse: Warehouse, source: Source) -> list[str]:
    rows = warehouse.query(
        "SELECT name FROM system.columns WHERE database = {database:String} AND table = {table:String} "
        "AND default_kind != 'EPHEMERAL' ORDER BY position",
        {"database": source.table.database, "table": source.table.table},
        operation=f"Reading the columns of {source.table}",
    ).rows
    if not rows:
        raise SourceError(
            f"sources.{source.name}.table = {source.table}: the table does not exist, or the account may not read it. "
            f"Correct the name, or GRANT SELECT ON {source.table} TO the account."
        )
    return [row["name"] for row in rows]


def _types(warehouse: Warehouse, source: Source, column: str, named: dict[str, str]) -> dict[str, str]:
    """The types of a source's expressions. They are checked one by one only if one is refused.

    Beside a column of the table an aggregate is refused.
    """

    def described(expressions: Iterable[str]) -> list[str]:
        columns = [f"{sql} AS platform_{number}" for number, sql in enumerate([*expressions, quote_identifier(column)])]
        sql = f"SELECT {', '.join(columns)} FROM {source.table.sql}"  # noqa: S608  (checked expressions)
        return types_of(warehouse, sql, f"Checking sources.{source.name}", over_row=True)

    try:
        return dict(zip(named, described(named.values()), strict=False))
    except RefusedError as refused:
        for name, sql in named.items():
            try:
                described([sql])
            except RefusedError as alone:
                raise SourceError(f"sources.{source.name}.{name} = {sql!r}: {alone}") from None
        raise SourceError(f"sources.{source.name} does not fit {source.table}: {refused}") from None


def _checked_expression(source: Source, name: str, sql: str, kind: str) -> tuple[str, bool]:
    """The expression, and whether it can be NULL. Raises SourceError for an unsupported type."""
    bare = inner_type(kind)
    at = f"sources.{source.name}.{name} = {sql!r} is {kind}"
    if name == "time":
        if bare == "String" and source.timezone:
            # An invalid time must not stop the load for good: the row is left out, like one without a time.
            return f"parseDateTimeBestEffortOrNull({sql}, '{source.timezone}')", True
        if not _TIME.fullmatch(bare):
            raise SourceError(f"{at}; it must be {_TIMES.get(bare, _EPOCH).format(sql)}.")
    elif not _INTEGER.fullmatch(bare):
        raise SourceError(f"{at}; it must be {_IDS.format(sql)}.")
    return sql, "Nullable" in kind


def types_of(warehouse: Warehouse, sql: str, operation: str, *, over_row: bool = False) -> list[str]:
    """The types of a SELECT's columns; raises RefusedError. `over_row`: see `refusals`."""
    with refusals(over_row=over_row):
        return [row["type"] for row in warehouse.query(f"DESCRIBE ({sql})", operation=operation).rows]


def require_over_row(warehouse: Warehouse, rows: SourceRows, selected: str) -> list[str]:
    """Raise RefusedError if ClickHouse refuses expressions over one row of a source; returns all columns' types."""
    # Beside a plain value, an aggregate is refused.
    sql = f"SELECT {selected}, platform_events.* FROM {rows.sql} AS platform_events"  # noqa: S608
    return types_of(warehouse, sql, f"Checking sources.{rows.source.name}", over_row=True)


@contextmanager
def refusals(*, over_row: bool = False) -> Iterator[None]:
    """Raise ClickHouse's refusal of an expression as a RefusedError; other errors, such as a lost connection, pass.

    `over_row`: the expression is of one row, so it may not be an aggregate.
    """
    try:
        yield
    except WarehouseError as error:
        if error.code is None or error.transient:
            raise
        raise RefusedError(_error_text(error, over_row=over_row)) from None


def _error_text(error: WarehouseError, *, over_row: bool) -> str:
    """ClickHouse's error text without the query in it, and the remedy for an expression."""
    if over_row and error.code == NOT_AN_AGGREGATE:
        return "it is an aggregate; write an expression over one row."
    words = re.split(r"\.? In scope |: In scope |: [Ww]hile executing|: while |\. In query ", error.cause.text)[0]
    words = re.sub(r"\.? \([A-Z_]{3,}\)$", "", words.strip().rstrip("."))
    return f"{words}. {_REMEDIES.get(error.code or 0, 'Correct the expression.')}"


def inner_type(kind: str) -> str:
    """A type without Nullable(…) and LowCardinality(…) around it."""
    while match := re.fullmatch(r"(?:Nullable|LowCardinality)\((.*)\)", kind):
        kind = match.group(1)
    return kind


_DAY = datetime.timedelta(days=1)
# The latest event is looked for in the last days first, and only where there is none in more: of a large table a whole
# column would be read.
_LOOK_BACK_DAYS = (2, 40)
# Clocks differ, so events may be dated a little ahead.
_AHEAD = datetime.timedelta(minutes=5)

Rows = Mapping[str, int]


def latest_event(
    warehouse: Warehouse, rows: SourceRows, settings: Settings, now: datetime.datetime
) -> datetime.datetime | None:
    """The time of a source's latest event, in UTC; None: no event since METRICS_START_DATE."""
    beginning = first_instant(settings.start_date, settings.zone)
    until = now + _AHEAD
    for since in _beginnings(beginning, now):
        latest: datetime.datetime | None = warehouse.value(
            rows.render(read_sql("queries/latest_event_of_source.sql")),
            {"from_time": since, "until_time": until},
            operation=f"Looking for the latest event of {rows.source.table}",
        )
        if latest is not None:
            return latest.replace(tzinfo=datetime.UTC) if latest.tzinfo is None else latest.astimezone(datetime.UTC)
    return None


def rows_of_days(warehouse: Warehouse, dates: Iterable[datetime.date]) -> dict[datetime.date, Rows]:
    """The events of each source on each of these days, as far as `metric_daily` has them."""
    return _events(warehouse, METRIC_DAILY, "event_date", "Date", list(dates))


def rows_of_slots(warehouse: Warehouse, slots: Iterable[Slot]) -> dict[Slot, Rows]:
    """The events of each source in each of these slots, as far as `slot_metrics` has them; errors as above."""
    starts = [slot.start for slot in slots]
    by_slot = _events(warehouse, SLOT_METRICS, "slot_start", "DateTime('UTC')", starts)
    return {slot_at(start.replace(tzinfo=datetime.UTC)): rows for start, rows in by_slot.items()}


def _events(warehouse: Warehouse, table: DailyTable, key: str, kind: str, values: list[Any]) -> dict[Any, Rows]:
    """Day or start of the slot → source → events, as far as computed."""
    if not tables_exist(warehouse, [table]):
        return {}
    counts: dict[Any, dict[str, int]] = {}
    for row in warehouse.query(
        f"SELECT {key} AS key, replaceOne(toString(metric), '.events', '') AS source, "  # noqa: S608
        f"toUInt64(value) AS rows FROM {table.name} FINAL "
        f"WHERE endsWith(toString(metric), '.events') AND dimension = 'total' AND {key} IN {{at:Array({kind})}}",
        {"at": values},
        operation=f"Reading the events in {table.name}",
    ).rows:
        counts.setdefault(row["key"], {})[row["source"]] = int(row["rows"])
    return dict(counts)


def weeks_before(slot: Slot, zone: ZoneInfo, weeks: int) -> list[Slot]:
    """The slots at the same time of day on the same weekday of the weeks before, by the clocks of `zone`."""
    local = slot.start.astimezone(zone).replace(tzinfo=None)
    return [
        slot_at((local - week * 7 * _DAY).replace(tzinfo=zone).astimezone(datetime.UTC)) for week in range(1, weeks + 1)
    ]


def _beginnings(beginning: datetime.datetime, now: datetime.datetime) -> Iterator[datetime.datetime]:
    for days in _LOOK_BACK_DAYS:
        since = now - days * _DAY
        if since > beginning:
            yield since
    yield beginning
