"""The sources of the daily load, as its SQL files read them: the feed, the messenger and their users' attributes.

A file names `$feed_actions` or `$message_actions` where it reads events, and `$known_os` and so on where it reads an
attribute. Their values come from the catalogue, so that an event and an attribute mean the same in the tables
of the day as in the metrics.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from string import Template

from metrics_platform import expressions
from metrics_platform.catalog import Catalog, Source, load_catalog_or_builtin
from metrics_platform.settings import Settings
from metrics_platform.table_names import quoted
from metrics_platform.warehouse.catalog_check import refusal, types_of
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.source_rows import SourceError, SourceRows, resolve
from metrics_platform.warehouse.tables import USERS, columns_of

FEED, MESSENGER = "feed_actions", "message_actions"
ATTRIBUTES = ("os", "gender", "age", "country", "city", "exp_group", "source")
# All other attributes are text.
_NUMBERS = ("age", "exp_group")
_SEVERAL_VALUES = ("Array(", "Tuple(", "Map(", "JSON", "Nested(")
# What a source of the daily load must have, beside its table and `time`.
_NEEDED = {FEED: ("user",), MESSENGER: ("user", "receiver")}
_SETTINGS = {FEED: "METRICS_FEED_TABLE", MESSENGER: "METRICS_MESSAGES_TABLE and METRICS_RECEIVER_COLUMN"}


@dataclass(frozen=True)
class DailySources:
    """Both sources, each resolved against its table once, when a query first needs it."""

    warehouse: Warehouse
    catalog: Catalog
    _resolved: dict[str, SourceRows] = field(default_factory=dict, init=False)

    @classmethod
    def of(cls, warehouse: Warehouse, settings: Settings) -> DailySources:
        """The sources of the settings' catalogue."""
        return cls(warehouse, load_catalog_or_builtin(settings))

    def render(self, sql: str) -> str:
        """Replace the `$names` in `sql`; returns a statement that ClickHouse can run.

        Raises:
            SourceError: a source or an attribute in it does not fit the source's table.
            WarehouseError: ClickHouse refused, failed or did not answer.
        """
        template = Template(sql)
        return template.substitute({name: self._part(name) for name in template.get_identifiers()})

    def problems(self) -> list[str]:
        """What does not fit, with the remedy: at most one for each source, and one for `age_group`.

        Raises:
            WarehouseError: ClickHouse refused, failed or did not answer.
        """
        found = []
        for name in (FEED, MESSENGER, "known_age_group"):
            try:
                self._part(name)
            except SourceError as error:
                found.append(str(error))
        return found

    def _part(self, name: str) -> str:
        """The SQL that replaces a `$name`.

        `<source>` is its rows, `<source>_keys` the columns that tell apart users and what their rows say of them,
        `<source>_without_user` the times of the rows that belong to no user. `known_<dimension>` is the value of a
        dimension, NULL where it is unknown.
        """
        if name == "known_age_group":
            return self._age_group()
        if name.startswith("known_"):
            return self._known(name.removeprefix("known_"))
        source = FEED if name.startswith(FEED) else MESSENGER
        rows = self._rows(source)
        if name == source:
            return rows.sql.replace("\n", "\n    ")
        return self._keys(rows) if name == f"{source}_keys" else rows.without_user

    def _known(self, dimension: str) -> str:
        sql = self.catalog.dimensions[dimension].sql
        return f"toInt32OrNull(toString({sql}))" if dimension in _NUMBERS else f"nullIf(trimBoth(toString({sql})), '')"

    def _age_group(self) -> str:
        """The dimension `age_group`, written over the attributes of the users' snapshot."""
        known = self._known("age_group")
        columns = [column for column in columns_of(USERS.file) if column.name in ATTRIBUTES]
        users = f"(SELECT {', '.join(f'CAST(NULL, {column.type!r}) AS {column.name}' for column in columns)})"
        text = refusal(self.warehouse, users, known, "Checking dimensions.age_group")
        if text is not None:
            raise SourceError(
                f"dimensions.age_group.sql = {self.catalog.dimensions['age_group'].sql!r} does not fit the users' "
                f"snapshot: {text}. What to do: write it over {', '.join(ATTRIBUTES)}."
            )
        return known

    def _keys(self, rows: SourceRows) -> str:
        """A user's rows have few different values, so rows are grouped by them before attributes are computed."""
        used = set().union(*(expressions.names_in(self.catalog.dimensions[name].sql) for name in ATTRIBUTES))
        return ", ".join(quoted(name) for name in ["user", *(name for name in rows.columns if name in used - {"user"})])

    def _rows(self, name: str) -> SourceRows:
        if name not in self._resolved:
            try:
                self._resolved[name] = self._resolve(name)
            except SourceError as error:
                left_out = f"{self.catalog.problem}\n" if self.catalog.problem else ""
                raise SourceError(
                    f"{left_out}{error} What to do: correct {_SETTINGS[name]}, or the mapping in METRICS_CATALOG; "
                    "`metrics-platform doctor` shows what fits."
                ) from None
        return self._resolved[name]

    def _resolve(self, name: str) -> SourceRows:
        if name in self.catalog.unreadable:
            raise SourceError(f"So the mapping of sources.{name} is not known, and the day would be wrong without it.")
        source = self.catalog.sources.get(name)
        if source is None:
            raise SourceError(f"sources.{name} is disabled, and the daily load is computed from it.")
        for key in _NEEDED[name]:
            if getattr(source, key) is None:
                raise SourceError(f"sources.{name}.{key} is not set, and the daily load counts by it.")
        # All attributes, whatever the source's events are sliced by.
        attributes = tuple(self.catalog.dimensions[dimension] for dimension in ATTRIBUTES)
        more = ("action",) if name == FEED else ()
        rows = resolve(self.warehouse, replace(source, dimensions=attributes), more)
        checked = {
            **{f"sources.{name}.columns.{column}": (source.columns.get(column, column), column) for column in more},
            **{f"dimensions.{each.name}.sql": (each.sql, self._known(each.name)) for each in attributes},
        }
        self._check(source, rows, {at: (str(given), sql) for at, (given, sql) in checked.items()})
        self._check_types(source, rows)
        return rows

    def _check(self, source: Source, rows: SourceRows, checked: dict[str, tuple[str, str]]) -> None:
        """Raise SourceError if an expression does not fit; entry → as it is written, and what is computed."""
        doing = f"Checking sources.{source.name}"
        if refusal(self.warehouse, rows.sql, ", ".join(sql for _, sql in checked.values()), doing) is None:
            return
        for at, (given, sql) in checked.items():
            if (text := refusal(self.warehouse, rows.sql, sql, doing)) is not None:
                raise SourceError(f"{at} = {given!r} does not fit {source.table}: {text}.")

    def _check_types(self, source: Source, rows: SourceRows) -> None:
        """Raise SourceError if a column that a built-in dimension reads holds several values: it would be unknown."""
        builtin = [self.catalog.dimensions[name] for name in ATTRIBUTES if self.catalog.dimensions[name].is_builtin]
        read = set().union(*(expressions.column_names_in(dimension.sql) for dimension in builtin))
        columns = [name for name in rows.columns if name in read]
        sql = f"SELECT {', '.join(map(quoted, columns)) or 1} FROM {rows.sql}"  # noqa: S608
        for name, kind in zip(columns, types_of(self.warehouse, sql, f"Checking sources.{source.name}"), strict=False):
            if kind.startswith(_SEVERAL_VALUES):
                raise SourceError(
                    f"sources.{source.name}.columns.{name} is {kind} in {source.table}, not a single value."
                )
