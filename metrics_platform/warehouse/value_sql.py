"""The SQL of the long tables: which statements compute metrics for a stretch of one day, and their parts."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Template
from zoneinfo import ZoneInfo

from metrics_platform import expressions
from metrics_platform.catalog import Dimension, Metric, Source
from metrics_platform.table_names import quote_identifier
from metrics_platform.time_windows import first_instant
from metrics_platform.warehouse.catalog_check import CheckedCatalog
from metrics_platform.warehouse.client import Parameters, runnable, sql_text
from metrics_platform.warehouse.source_rows import SourceRows, hash_of, slice_name_sql
from metrics_platform.warehouse.tables import SLOT_METRICS, DailyTable, read_sql

VALUES_QUERY = "queries/metric_values.sql"
_LOOK_BACK = datetime.timedelta(days=7)


@dataclass(frozen=True)
class Scope:
    """What is computed: which metrics of which sources, for which stretch of one day, into which table.

    Attributes:
        rows: each source that has a metric among `metrics`, resolved.
        by_row: metrics whose SQL has no aggregate state, so that they take a scan of their own.
    """

    rows: Mapping[str, SourceRows]
    metrics: tuple[Metric, ...]
    by_row: Collection[str]
    table: DailyTable
    date: datetime.date
    start: datetime.datetime
    end: datetime.datetime
    zone: ZoneInfo

    @classmethod
    def of(  # noqa: PLR0917
        cls,
        checked: CheckedCatalog,
        metrics: Sequence[Metric] | None,
        table: DailyTable,
        date: datetime.date,
        start: datetime.datetime,
        end: datetime.datetime,
        zone: ZoneInfo,
    ) -> Scope:
        """All metrics, or `metrics`, with the sources that they need."""
        chosen = tuple(checked.metrics.values()) if metrics is None else tuple(metrics)
        needed = {metric.source for metric in chosen if metric.sql}
        rows = {name: source_rows for name, source_rows in checked.rows.items() if name in needed}
        return cls(rows, chosen, checked.by_row, table, date, start, end, zone)

    @property
    def by_slot(self) -> bool:
        """Whether values are per slot, not per day."""
        return self.table.name == SLOT_METRICS.name

    @property
    def bucket(self) -> str:
        """The expression for the slot of an event, or for the start of the day."""
        return "toStartOfFifteenMinutes(toDateTime(time, 'UTC'))" if self.by_slot else "{start:DateTime('UTC')}"

    @property
    def key_columns(self) -> str:
        """The first columns of a row, from the bucket."""
        return "{event_date:Date} AS event_date" + (",\n    platform_bucket AS slot_start" if self.by_slot else "")

    @property
    def keys(self) -> str:
        """The names of these columns."""
        return "event_date, slot_start" if self.by_slot else "event_date"

    @property
    def in_range(self) -> str:
        """The condition that a row of the table lies in the stretch."""
        return (
            "slot_start >= {start:DateTime('UTC')} AND slot_start < {end:DateTime('UTC')}" if self.by_slot else "true"
        )

    @property
    def week_before(self) -> tuple[datetime.datetime, datetime.datetime]:
        """The seven complete days before the day."""
        return first_instant(self.date - _LOOK_BACK, self.zone), first_instant(self.date, self.zone)

    def dimensions_of(self, source: Source) -> tuple[Dimension, ...]:
        """The dimensions of a source's values."""
        return source.monitored_dimensions if self.by_slot else source.dimensions

    @property
    def names(self) -> list[str]:
        """The metrics that are written, with the counts of events."""
        return [*(metric.name for metric in self.metrics), *(rows.source.events_metric for rows in self.rows.values())]

    def own(self, source: str) -> list[Metric]:
        """The metrics of a source that are aggregates."""
        return [metric for metric in self.metrics if metric.sql and metric.source == source]

    def filled(self, file: str, **parts: str) -> str:
        """Fill in a file of `queries/` with its own parts and the shared ones."""
        shared = {"table": self.table.name, "bucket": self.bucket, "key_columns": self.key_columns}
        return filled(file, keys=self.keys, in_range=self.in_range, **shared, **parts)

    def parameters(self, version: int = 0) -> dict[str, object]:
        """The server-side parameters that the statements share."""
        return {"event_date": self.date, "start": self.start, "end": self.end, "version": version}


@dataclass(frozen=True)
class Cells:
    """How events are folded into cells, one for each combination of slices, as parts of the SQL.

    The expression of a built-in dimension is evaluated for each cell, over the columns that it reads. Others are
    evaluated for each event: the columns that they read may differ from event to event.

    Attributes:
        key: the hash that identifies a cell.
        columns: the columns of a cell, aggregated from its events.
        values: each dimension with the expression of its value over these columns.
    """

    key: str
    columns: tuple[str, ...]
    values: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, dimensions: Sequence[Dimension]) -> Cells:
        """The cells of a source that is sliced by these dimensions."""
        builtin = [expressions.column_names_in(dimension.sql) for dimension in dimensions if dimension.is_builtin]
        read = {quote_identifier(name): quote_identifier(name) for name in sorted(set().union(*builtin))}
        read |= {
            f"platform_slice_{dimension.name}": dimension.sql for dimension in dimensions if not dimension.is_builtin
        }
        return cls(
            hash_of(read.values()),
            tuple(f"any({sql}) AS {name}" for name, sql in read.items()),
            tuple(
                (dimension.name, dimension.sql if dimension.is_builtin else f"platform_slice_{dimension.name}")
                for dimension in dimensions
            ),
        )


def _folded_sql(scope: Scope, source: str) -> str:
    """The SELECT of all metrics that merge states, from cells of events."""
    rows = scope.rows[source]
    cells = Cells.of(scope.dimensions_of(rows.source))
    states = ["countState() AS platform_count"]
    values = [_value(rows.source.events_metric, "countMerge(platform_count)", rows.source.definition)]
    for metric in scope.own(source):
        if (aggregate := mergeable(scope, metric)) is not None:
            state = f"platform_state_{metric.name}"
            states.append(f"{aggregate.state} AS {state}")
            values.append(_value(metric.name, as_number(metric, aggregate.merged(state)), metric.definition))
    return scope.filled(
        VALUES_QUERY,
        cell_columns=",\n        ".join([f"{cells.key} AS platform_cell", *cells.columns, *states]),
        folding="GROUP BY platform_bucket, platform_cell",
        rows=rows.sql,
        slices=slices_of(cells.values),
        values=",\n            ".join(values),
    )


def _by_row_sql(scope: Scope, metric: Metric) -> str:
    """The SELECT of a metric that is computed from the events themselves."""
    rows = scope.rows[metric.source]
    return scope.filled(
        VALUES_QUERY,
        cell_columns="*",
        folding="",
        rows=rows.sql,
        slices=slices_of((dimension.name, dimension.sql) for dimension in scope.dimensions_of(rows.source)),
        values=_value(metric.name, as_number(metric, str(metric.sql)), metric.definition),
    )


def statements(scope: Scope) -> Iterator[tuple[str, Parameters]]:
    """The SELECTs that fill the staging table, in their order, each with its parameters beside the shared ones."""
    yield from source_statements(scope)
    for source in scope.rows:
        if scope.by_slot:
            rows = scope.rows[source].source
            own = {
                "dimensions": [dimension.name for dimension in rows.monitored_dimensions],
                "rows_definition": rows.definition,
            }
            yield filled("queries/slot_grid.sql", **_empty_metrics(scope, source)), own
        else:
            yield filled("queries/day_totals.sql", empty_metrics=_empty_metrics(scope, source)["empty_metrics"]), {}
    if quotients := [metric for metric in scope.metrics if not metric.sql]:
        computed = {metric.name for metric in scope.metrics}
        parts = {str(part) for metric in quotients for part in (metric.numerator, metric.denominator)}
        yield (
            scope.filled(
                "queries/quotients.sql",
                quotients=sql_array(
                    f"({', '.join(map(sql_text, (metric.name, str(metric.numerator), str(metric.denominator))))}, "
                    f"toUInt64({metric.definition}))"
                    for metric in quotients
                ),
            ),
            {"stored_parts": sorted(parts - computed)},
        )


def runnable_sql(scope: Scope) -> Iterator[str]:
    """The SELECTs that aggregate the sources, as a person can run them: their parameters as SET statements first."""
    for sql, parameters in source_statements(scope):
        yield runnable(sql, {**scope.parameters(), **parameters})


def source_statements(scope: Scope) -> Iterator[tuple[str, Parameters]]:
    """The SELECTs that read the sources, each with its parameters beside the shared ones."""
    for source in scope.rows:
        shared = {"source": source, "rows_definition": scope.rows[source].source.definition}
        yield _folded_sql(scope, source), shared
        for metric in scope.own(source):
            if mergeable(scope, metric) is None:
                yield _by_row_sql(scope, metric), shared


def mergeable(scope: Scope, metric: Metric) -> expressions.Aggregate | None:
    """The aggregate whose merged states give a metric; None if it needs a scan of its own.

    An aggregate that does not count has no value where it finds nothing: the largest of no amounts is not 0.
    """
    if metric.name in scope.by_row or metric.aggregate is None:
        return None
    return metric.aggregate if metric.aggregate.is_zero_without_rows else metric.aggregate.or_null


def as_number(metric: Metric, sql: str) -> str:
    """A value as a number. The sum of amounts that are all NULL is NULL; it means what a slot without rows means."""
    return f"ifNull(toFloat64({sql}), 0)" if metric.empty == "zero" else f"toFloat64({sql})"


def _empty_metrics(scope: Scope, source: str) -> dict[str, str]:
    """What a source's metrics are where nothing happened, as parts of the SQL that fills the grid."""
    rows = scope.rows[source].source
    event = sql_text(rows.events_metric)
    empty = [(rows.events_metric, "zero", rows.definition)]
    empty += [(metric.name, metric.empty, metric.definition) for metric in scope.own(source)]
    values = {"zero": "toNullable(0.)", "unknown": "CAST(NULL, 'Nullable(Float64)')"}
    return {
        "events_metrics": sql_array([event]),
        "empty_metrics": sql_array(
            f"({event}, {sql_text(name)}, {values[means]}, toUInt64({definition}))" for name, means, definition in empty
        ),
    }


def _value(name: str, sql: str, definition: int) -> str:
    return f"({sql_text(name)}, toNullable(toFloat64({sql})), toUInt64({definition}))"


def slices_of(named: Iterable[tuple[str, str]]) -> str:
    """The slices of a row as pairs of dimension and value, the total first."""
    return sql_array(["('total', 'total')", *(f"({sql_text(name)}, {slice_name_sql(sql)})" for name, sql in named)])


def sql_array(items: Iterable[str]) -> str:
    return f"[{', '.join(items)}]"


def filled(file: str, **parts: str) -> str:
    return Template(read_sql(file)).substitute(parts)
