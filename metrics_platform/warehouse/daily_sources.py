"""The sources of the daily load, as its SQL files read them: the feed, the messenger and their users' attributes.

A file names `$feed_actions` or `$message_actions` where it reads events, and `$known_os` and so on where it reads an
attribute. The catalogue defines these, so that an event and an attribute mean the same in the tables
of the day as in the metrics. What several files share is a file of `queries/parts/`.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from metrics_platform import expressions
from metrics_platform.catalog import Catalog, Source, load_catalog_or_builtin
from metrics_platform.settings import Settings
from metrics_platform.table_names import quote_identifier
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.source_rows import (
    RefusedError,
    SourceError,
    SourceRows,
    hash_of,
    require_over_row,
    resolve,
    types_of,
)
from metrics_platform.warehouse.tables import USERS, columns_of, read_sql

FEED, MESSENGER = "feed_actions", "message_actions"
ATTRIBUTES = ("os", "gender", "age", "country", "city", "exp_group", "source")
# A time of zero means no time.
HISTORY_START = datetime.datetime(1970, 1, 2, tzinfo=datetime.UTC)
# All other attributes are texts.
_NUMBERS = ("age", "exp_group")
_SHORT_KEY = re.compile(r"(Nullable\()?(U?Int(8|16|32|64)|Bool|Date(32)?|Enum(8|16)\(.*\))\)?")
# The names of the parts that all files share.
_PARTS = ("stamps", "latest_attributes", "first_source", "sums", "negative", "continued_attributes")
_PLACEHOLDER = re.compile(r"\$(\w+)")
# A million texts behind hashes take about 100 MB. More of them raise the error TOO_MANY_TEXTS.
_MAX_HASHES = 1_000_000
TOO_MANY_TEXTS = 191
# The counts of a set of attributes, and their names.
_MEASURES = {
    FEED: {"set_views": "countIf(action = 'view')", "set_likes": "countIf(action = 'like')"},
    MESSENGER: {"set_messages": "count()", "set_receivers": "uniqExactState(receiver)"},
}
_SEVERAL_VALUES = ("Array(", "Tuple(", "Map(", "JSON", "Nested(")
# What a source of the daily load must have in addition to its table and `time`.
_NEEDED = {FEED: ("user",), MESSENGER: ("user", "receiver")}
# Columns that are read beside those of attributes.
_READ = {FEED: ("action",), MESSENGER: ()}
_SETTINGS = {FEED: "METRICS_FEED_TABLE", MESSENGER: "METRICS_MESSAGES_TABLE and METRICS_RECEIVER_COLUMN"}


@dataclass(frozen=True)
class DailySources:
    """Both sources, each resolved against its table once, when a query first needs it; attributes likewise.

    `has_many_texts` says that attributes have too many different texts to look them up by their hashes.
    """

    warehouse: Warehouse
    catalog: Catalog
    has_many_texts: bool = False
    _resolved: dict[str, SourceRows] = field(default_factory=dict, init=False)
    _attribute_types: dict[str, dict[str, str]] = field(default_factory=dict, init=False)

    @classmethod
    def of(cls, warehouse: Warehouse, settings: Settings) -> DailySources:
        """The sources of the settings' catalogue."""
        return cls(warehouse, load_catalog_or_builtin(settings))

    def render(self, sql: str) -> str:
        """Replace the `$names` in `sql`; returns a statement that ClickHouse can run.

        Raises:
            SourceError: a source or an attribute in it does not fit the source's table.
        """
        return _filled(sql, self._part)

    def problems(self) -> list[str]:
        """The problems with remedies: at most one for each source, and one for `age_group`."""
        texts = []
        for name in (f"{FEED}_sets", f"{MESSENGER}_sets", "known_age_group"):
            try:
                self._part(name)
            except SourceError as error:
                texts.append(str(error))
        return texts

    def _part(self, name: str) -> str:
        """The SQL that replaces a `$name`.

        `<source>` is its rows, `<source>_sets` these by user and what they say of the user, `<source>_without_user` the
        times of the rows that belong to no user. `known_<dimension>` is the value of a dimension, NULL where it is
        unknown.
        """
        if name in _PARTS:
            return read_sql(f"queries/parts/{name}.sql")
        if name == "known_age_group":
            return self._age_group()
        if name.startswith("known_"):
            return self._known(name.removeprefix("known_"))
        source = FEED if name.startswith(FEED) else MESSENGER
        rows = self._rows(source)
        if name == f"{source}_sets":
            return self._sets(source, rows)
        return rows.sql if name == source else rows.without_user

    def _sets(self, source: str, rows: SourceRows) -> str:
        """The rows by user and combination of attributes; see `queries/parts/attribute_sets.sql`."""
        columns = {quote_identifier(name): kind for name, kind in self._types(source, rows).items()}
        keys = [name for name, kind in columns.items() if _SHORT_KEY.fullmatch(kind)]
        texts = [name for name in columns if name not in keys]
        # A dictionary is cheap to read twice. A plain text costs as much as everything else, so it is scanned once.
        is_looked_up = not self.has_many_texts and all(columns[name].startswith("LowCardinality(") for name in texts)
        measures = _MEASURES[source]
        parts = {
            "rows": rows.sql,
            "keys": ", ".join(["user", *keys]),
            "text_hash": hash_of(texts),
            "text_columns": ", ".join(texts),
            "most_hashes": str(_MAX_HASHES),
            "measure_names": ", ".join(measures),
            "measures": ",\n".join(f"{sql} AS {name}" for name, sql in measures.items()),
        }
        if not is_looked_up:
            parts["measures"] += "".join(f",\nany({name}) AS {name}" for name in texts)
        parts["texts"] = _filled(read_sql("queries/parts/texts_of_hashes.sql"), parts.get) if is_looked_up else ""
        return _filled(
            read_sql("queries/parts/attribute_sets.sql"),
            lambda name: parts[name] if name in parts else self._part(name),
        )

    def _known(self, dimension: str) -> str:
        sql = self.catalog.dimensions[dimension].sql
        return f"toInt32OrNull(toString({sql}))" if dimension in _NUMBERS else f"nullIf(trimBoth(toString({sql})), '')"

    def _age_group(self) -> str:
        """The dimension `age_group`, written over the attributes of the users' snapshot."""
        known = self._known("age_group")
        if self.catalog.dimensions["age_group"].is_builtin:
            return known
        columns = [column for column in columns_of(USERS.file) if column.name in ATTRIBUTES]
        users = f"(SELECT {', '.join(f'CAST(NULL, {column.type!r}) AS {column.name}' for column in columns)})"
        try:
            sql = f"SELECT {known}, users.* FROM {users} AS users"  # noqa: S608
            types_of(self.warehouse, sql, "Checking dimensions.age_group", over_row=True)
        except RefusedError as refused:
            raise SourceError(
                f"dimensions.age_group.sql = {self.catalog.dimensions['age_group'].sql!r} does not fit the users' "
                f"snapshot: {refused} What to do: write it over {', '.join(ATTRIBUTES)}."
            ) from None
        return known

    def _rows(self, name: str) -> SourceRows:
        if name not in self._resolved:
            with self._remedies(name):
                self._resolved[name] = self._resolve(name)
        return self._resolved[name]

    def _types(self, name: str, rows: SourceRows) -> dict[str, str]:
        """Column → type, of the columns that attributes are computed from. Checks all attributes."""
        if name not in self._attribute_types:
            with self._remedies(name):
                self._attribute_types[name] = self._checked_types(self.catalog.sources[name], rows)
        return self._attribute_types[name]

    @contextmanager
    def _remedies(self, name: str) -> Iterator[None]:
        """Add the remedy to an error of a source."""
        try:
            yield
        except SourceError as error:
            left_out = f"{self.catalog.problem}\n" if self.catalog.problem else ""
            remedy = (
                f" What to do: correct {_SETTINGS[name]}, or the mapping in METRICS_CATALOG; "
                "`metrics-platform doctor` shows what fits."
            )
            raise SourceError(f"{left_out}{error}{'' if 'What to do:' in str(error) else remedy}") from None

    def _resolve(self, name: str) -> SourceRows:
        if name in self.catalog.unreadable:
            raise SourceError(f"So the mapping of sources.{name} is not known, and the day would be wrong without it.")
        source = self.catalog.sources.get(name)
        if source is None:
            raise SourceError(
                f"sources.{name} is disabled, and the daily load and the morning report are computed from it. "
                "What to do: enable it, and map your own events to it in METRICS_CATALOG."
            )
        for key in _NEEDED[name]:
            if getattr(source, key) is None:
                raise SourceError(f"sources.{name}.{key} is not set, and the daily load counts by it.")
        # All attributes, whatever the source's events are sliced by.
        attributes = tuple(self.catalog.dimensions[dimension] for dimension in ATTRIBUTES)
        return resolve(self.warehouse, replace(source, dimensions=attributes), _READ[name])

    def _checked_types(self, source: Source, rows: SourceRows) -> dict[str, str]:
        """Column → type, of the columns that attributes are computed from.

        Raises SourceError if an expression does not fit, or if a column that a built-in dimension reads holds several
        values: it would be unknown.
        """
        columns = {
            f"sources.{source.name}.columns.{column}": (str(source.columns.get(column, column)), column)
            for column in _READ[source.name]
        }
        given = {name: self.catalog.dimensions[name].sql for name in ATTRIBUTES}
        checked = {**columns, **{f"dimensions.{name}.sql": (sql, self._known(name)) for name, sql in given.items()}}
        try:
            row_types = require_over_row(self.warehouse, rows, ", ".join(sql for _, sql in checked.values()))
        except RefusedError as refused:
            for at, (written, sql) in checked.items():
                try:
                    require_over_row(self.warehouse, rows, sql)
                except RefusedError as alone:
                    raise SourceError(f"{at} = {written!r} does not fit {source.table}: {alone}") from None
            raise SourceError(f"sources.{source.name} does not fit {source.table}: {refused}") from None
        types = dict(zip(rows.columns, row_types[len(checked) :], strict=True))
        dimensions = [self.catalog.dimensions[name] for name in ATTRIBUTES]
        builtin = set().union(
            *(expressions.column_names_in(dimension.sql) for dimension in dimensions if dimension.is_builtin)
        )
        for name, kind in types.items():
            if name in builtin and kind.startswith(_SEVERAL_VALUES):
                raise SourceError(
                    f"sources.{source.name}.columns.{name} is {kind} in {source.table}, not a single value."
                )
        used = set().union(*(expressions.names_in(dimension.sql) for dimension in dimensions))
        return {name: kind for name, kind in types.items() if name in used - {"user"}}


def _filled(sql: str, part: Callable[[str], str | None]) -> str:
    """`sql` with each `$name` replaced by its part, indented as the line that it is in."""

    def filled(match: re.Match[str]) -> str:
        line = sql[sql.rfind("\n", 0, match.start()) + 1 : match.start()]
        indent = " " * (len(line) - len(line.lstrip()))
        return str(part(match[1])).rstrip("\n").replace("\n", f"\n{indent}")

    return _PLACEHOLDER.sub(filled, sql)
