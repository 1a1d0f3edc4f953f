"""The long tables: the values of the catalogue's metrics in slots (`slot_metrics`) and days (`metric_daily`). No Dagster.

A stretch of one day is computed in five steps, all in SQL: choose the day's slices, aggregate each source in one scan,
fill the grid where nothing happened, divide the quotients, and mark rows that are gone. All that happens in a staging
table. Its rows are compared with the source, and only then attached to the table, in one step. They carry a version, so
that two writers of a day never undo each other's rows.
"""

from __future__ import annotations

import datetime
import math
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from string import Template

from metrics_platform.calendar import SLOT
from metrics_platform.catalog import Catalog, Dimension, Metric, Source
from metrics_platform.table_names import quoted
from metrics_platform.warehouse.client import Parameters, Warehouse
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.partitions import STAGING_PREFIX, drop_staging
from metrics_platform.warehouse.source_rows import SourceRows, named_value
from metrics_platform.warehouse.tables import SLOT_METRICS, DailyTable, read_sql

# Events may arrive between the scan and the count that it is compared with; a second and a third try settle it.
_TRIES = 3
# Odd numbers that spread the hashes of several columns over 64 bits; a product with each tells (a, b) from (b, a).
_SPREAD = (
    1, 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5, 0x85EBCA77C2B2AE63,
    0x1B873593CC9E2D51, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0xE7037ED1A0B428DB, 0x8EBC6AF09C88C6E3, 0x589965CC75374CC3,
)  # fmt: skip
VALUES_QUERY = "queries/metric_values.sql"
_LOOK_BACK = datetime.timedelta(days=7)


@dataclass(frozen=True)
class Comparison:
    """One quantity of a check: what it had to be, and what it is."""

    check: str
    quantity: str
    expected: float
    actual: float
    late: int = 0

    @property
    def holds(self) -> bool:
        """Whether the two are equal, but for the order in which floating-point numbers were added."""
        return math.isclose(self.expected, self.actual, rel_tol=1e-9, abs_tol=1e-9)

    @property
    def explained_by_late_events(self) -> bool:
        """Never: slots are computed again until they agree."""
        return False


@dataclass(frozen=True)
class ValuesResult:
    """Computed values of one day, or of some of its slots.

    Attributes:
        date: the day.
        start, end: the stretch that was computed.
        metrics: the metrics that were computed.
        rows: how many rows were written.
        comparisons: every check's quantities.
        published: whether readers see them; False when a check does not hold.
        read_rows: rows that ClickHouse read.
        seconds: wall time.
        sql: the statements that aggregated the sources, as a person can run them.
        problems: entry of the catalogue → why it was left out of this computation.
    """

    date: datetime.date
    start: datetime.datetime
    end: datetime.datetime
    metrics: tuple[str, ...]
    rows: int
    comparisons: tuple[Comparison, ...]
    published: bool
    read_rows: int
    seconds: float
    sql: str = ""
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def violations(self) -> tuple[Comparison, ...]:
        """The quantities that do not hold."""
        return tuple(comparison for comparison in self.comparisons if not comparison.holds)


@dataclass(frozen=True)
class Scope:
    """What is computed: which metrics of which sources, for which stretch of one day, into which table.

    Attributes:
        rows: each source that has a metric among `metrics`, resolved.
        by_row: metrics whose SQL has no aggregate state, so that they take a scan of their own.
    """

    catalog: Catalog
    rows: Mapping[str, SourceRows]
    metrics: tuple[Metric, ...]
    by_row: Collection[str]
    table: DailyTable
    date: datetime.date
    start: datetime.datetime
    end: datetime.datetime

    @property
    def by_slot(self) -> bool:
        """Whether values are of slots and not of the day."""
        return self.table.name == SLOT_METRICS.name

    @property
    def bucket(self) -> str:
        """The expression for the slot of an event, or for the start of the day."""
        return "toStartOfFifteenMinutes(toDateTime(time, 'UTC'))" if self.by_slot else "{start:DateTime('UTC')}"

    @property
    def key_columns(self) -> str:
        """The first columns of a row, from the bucket."""
        return "{event_date:Date} AS event_date" + (",\n    bucket AS slot_start" if self.by_slot else "")

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

    def dimensions_of(self, source: Source) -> tuple[Dimension, ...]:
        """What the values of a source are sliced by."""
        return source.monitored_dimensions if self.by_slot else source.dimensions

    @property
    def names(self) -> list[str]:
        """The metrics that are written, with the counts of events."""
        return [*(metric.name for metric in self.metrics), *(rows.source.events_metric for rows in self.rows.values())]

    def own(self, source: str) -> list[Metric]:
        """The metrics of a source that are aggregates."""
        return [metric for metric in self.metrics if metric.sql and metric.source == source]

    def parameters(self, version: int = 0, staging: str = "") -> dict[str, object]:
        """The server-side parameters that the statements share."""
        return {
            "event_date": self.date,
            "start": _written(self.start),
            "end": _written(self.end),
            "version": version,
            "staging": staging,
        }


def compute(warehouse: Warehouse, scope: Scope) -> ValuesResult:
    """Compute, check and publish; running it again gives the same rows, whatever happened before.

    A metric whose SQL fails on the rows, such as a division by an integer of zero, is left out; the others go on.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer; nothing is half-written.
    """
    try:
        return _compute(warehouse, scope)
    except WarehouseError as error:
        if error.transient or error.code is None:
            raise
        problems = _failing_metrics(warehouse, scope)
        if not problems:
            raise
    catalog = scope.catalog.without(problems)
    kept = tuple(metric for metric in scope.metrics if metric.name in catalog.metrics)
    found = {f"metrics.{name}": text for name, text in problems.items()}
    return replace(_compute(warehouse, replace(scope, catalog=catalog, metrics=kept)), problems=found)


def _failing_metrics(warehouse: Warehouse, scope: Scope) -> dict[str, str]:
    """The metrics whose values cannot be computed, each tried alone, with what ClickHouse says."""
    found: dict[str, str] = {}
    for metric in scope.metrics:
        if not metric.sql:
            continue
        alone = replace(scope, metrics=(metric,))
        try:
            _counted(warehouse, alone, scope.rows[metric.source], [metric], f"Trying {metric.name}")
        except WarehouseError as error:
            if error.transient or error.code is None:
                raise
            found[metric.name] = f"metrics.{metric.name}.sql = {metric.sql!r}: {error.cause.text}"
    return found


def _compute(warehouse: Warehouse, scope: Scope) -> ValuesResult:
    started = time.perf_counter()
    choose_slices(warehouse, scope)
    for attempt in range(1, _TRIES + 1):
        with _staged(warehouse, scope) as (name, rows, read):
            comparisons = _compare(warehouse, scope, name)
            holds = all(comparison.holds for comparison in comparisons)
            if holds:
                _publish(warehouse, scope, name)
            if holds or attempt == _TRIES:
                seconds = time.perf_counter() - started
                names = tuple(metric.name for metric in scope.metrics)
                sql = "\n\n".join(runnable_sql(scope))
                return ValuesResult(
                    scope.date, scope.start, scope.end, names, rows, comparisons, holds, read, seconds, sql
                )
    raise AssertionError("unreachable: the last attempt returns")


def values_sql(scope: Scope, source: str) -> str:
    """The SELECT that aggregates a source's events in one scan; see `queries/metric_values.sql`."""
    rows = scope.rows[source]
    dimensions = scope.dimensions_of(rows.source)
    states, values = (
        ["countState() AS events_state"],
        [_value(rows.source.events_metric, "countMerge(events_state)", 0)],
    )
    for metric in scope.own(source):
        if metric.name in scope.by_row or metric.aggregate is None:
            continue
        states.append(f"{metric.aggregate.state} AS {metric.name}_state")
        values.append(_value(metric.name, metric.aggregate.merged(f"{metric.name}_state"), metric.definition))
    return _filled(
        VALUES_QUERY,
        bucket=scope.bucket,
        cell_key=_cell_key(dimensions),
        cell_columns=",\n        ".join([*_cell_columns(dimensions), *states]),
        rows=rows.sql.replace("\n", "\n    "),
        slices=_slices([(dimension.name, f"slice_{dimension.name}") for dimension in dimensions]),
        values=",\n            ".join(values),
        key_columns=scope.key_columns,
    )


def statements(scope: Scope) -> Iterator[tuple[str, Parameters]]:
    """The SELECTs that fill the staging table, in their order, each with its parameters beside the shared ones."""
    for source in scope.rows:
        yield values_sql(scope, source), {"source": source}
        for metric in scope.own(source):
            if metric.name in scope.by_row or metric.aggregate is None:
                yield (
                    _by_row_sql(scope, metric),
                    {"source": source, "metric": metric.name, "definition": metric.definition},
                )
    if scope.by_slot:
        for source in scope.rows:
            yield (
                _grid_sql(scope, source),
                {"dimensions": [each.name for each in scope.rows[source].source.monitored_dimensions]},
            )
    if quotients := [metric for metric in scope.metrics if not metric.sql]:
        computed = {metric.name for metric in scope.metrics}
        parts = {str(part) for metric in quotients for part in (metric.numerator, metric.denominator)}
        yield (
            _filled(
                "queries/quotients.sql",
                keys=scope.keys,
                table=scope.table.name,
                in_range=scope.in_range,
                quotients=_array(
                    f"({_text(metric.name)}, {_text(str(metric.numerator))}, {_text(str(metric.denominator))}, "
                    f"toUInt64({metric.definition}))"
                    for metric in quotients
                ),
            ),
            {"stored_parts": sorted(parts - computed)},
        )


def runnable_sql(scope: Scope) -> Iterator[str]:
    """The SELECTs that aggregate the sources, as a person can run them: their parameters as SET statements first."""
    for source in scope.rows:
        parameters = {**scope.parameters(), "source": source}
        yield _runnable(values_sql(scope, source), parameters)
        for metric in scope.own(source):
            if metric.name in scope.by_row or metric.aggregate is None:
                own = {"metric": metric.name, "definition": metric.definition}
                yield _runnable(_by_row_sql(scope, metric), {**parameters, **own})


def _runnable(sql: str, parameters: Parameters) -> str:
    lines = [f"SET param_{name} = {_text(str(value))};" for name, value in parameters.items() if f"{{{name}:" in sql]
    return "\n".join([*lines, sql.rstrip() + ";"])


def total_values(warehouse: Warehouse, scope: Scope, metric: Metric) -> dict[datetime.datetime, float | None]:
    """A metric's value in the whole product, by the start of the slot, straight from its source; writes nothing."""
    if metric.sql:
        rows = _totals(warehouse, scope, metric)
        return {start: value if value is not None and math.isfinite(value) else None for start, value in rows.items()}
    by_name = {part.name: part for part in scope.metrics}
    above, below = (_totals(warehouse, scope, by_name[str(name)]) for name in (metric.numerator, metric.denominator))
    return {start: (above.get(start) or 0.0) / value if value else None for start, value in below.items()}


def _totals(warehouse: Warehouse, scope: Scope, metric: Metric) -> dict[datetime.datetime, float | None]:
    found = warehouse.query(
        f"SELECT {scope.bucket} AS bucket, toFloat64({metric.sql}) AS found FROM {scope.rows[metric.source].sql} AS events "  # noqa: S608
        "WHERE time >= {start:DateTime('UTC')} AND time < {end:DateTime('UTC')} GROUP BY bucket",
        scope.parameters(),
        doing=f"Computing {metric.name}",
    ).rows
    values = {row["bucket"].replace(tzinfo=datetime.UTC): row["found"] for row in found}
    if metric.empty == "zero":
        slots = (scope.end - scope.start) // SLOT
        return {start: values.get(start, 0.0) for start in (scope.start + number * SLOT for number in range(slots))}
    return values


def choose_slices(warehouse: Warehouse, scope: Scope) -> None:
    """Choose which values of each dimension are slices of their own on the day, as far as that is still open.

    First by the volume of the seven days before; then, as long as there is room, by the events of the stretch.
    """
    for source, rows in scope.rows.items():
        dimensions = scope.dimensions_of(rows.source)
        if not dimensions:
            continue
        known = {
            row["dimension"]
            for row in warehouse.query(
                "SELECT DISTINCT dimension FROM slice_values WHERE event_date = {event_date:Date} AND source = {source:String}",
                {"event_date": scope.date, "source": source},
                doing=f"Reading the slices of {scope.date}",
            ).rows
        }
        first = [dimension for dimension in dimensions if dimension.name not in known]
        if first:
            _choose(warehouse, scope, source, first, *_candidates_before(warehouse, scope, source, first))
        candidates = _candidates_sql(rows, dimensions)
        _choose(
            warehouse,
            scope,
            source,
            dimensions,
            candidates,
            {"from": _written(scope.start), "until": _written(scope.end)},
        )


def _choose(  # noqa: PLR0917  (one statement, whose parts come from six places)
    warehouse: Warehouse,
    scope: Scope,
    source: str,
    dimensions: Sequence[Dimension],
    candidates: str,
    parameters: Parameters,
) -> None:
    sql = _filled(
        "queries/slice_values.sql",
        candidates=candidates.replace("\n", "\n            "),
        dimension_names=_array(_text(dimension.name) for dimension in dimensions),
        dimension_limits=_array(str(dimension.values) for dimension in dimensions),
    )
    warehouse.execute(
        f"INSERT INTO slice_values (event_date, source, dimension, dimension_value)\n{sql}",
        {"event_date": scope.date, "source": source, **parameters},
        doing=f"Choosing the slices of {source} on {scope.date}",
        repeatable=True,
    )


def _candidates_before(
    warehouse: Warehouse, scope: Scope, source: str, dimensions: Sequence[Dimension]
) -> tuple[str, Parameters]:
    """The volumes of the seven days before: from the table, unless some values were folded into `other` there."""
    event = scope.rows[source].source.events_metric
    stretch = "event_date >= {event_date:Date} - 7 AND event_date < {event_date:Date}"
    names = [dimension.name for dimension in dimensions]
    where = (
        f"metric = {_text(event)} AND {stretch} AND has({_array(map(_text, names))}, toString(dimension)) AND value > 0"
    )
    (row,) = warehouse.query(
        f"SELECT uniqExact(dimension) AS dimensions, countIf(dimension_value = 'other') AS folded "  # noqa: S608
        f"FROM {scope.table.name} FINAL WHERE {where}",
        {"event_date": scope.date},
        doing=f"Reading the slices before {scope.date}",
    ).rows
    if row["dimensions"] == len(names) and not row["folded"]:
        return (
            "SELECT dimension AS candidate_dimension, dimension_value AS candidate_value, value AS candidate_events\n"
            f"FROM {scope.table.name} FINAL WHERE {where}",
            {},
        )
    return (
        _candidates_sql(scope.rows[source], dimensions),
        {"from": _written(scope.start - _LOOK_BACK), "until": _written(scope.start)},
    )


def _candidates_sql(rows: SourceRows, dimensions: Sequence[Dimension]) -> str:
    return _filled(
        "queries/slice_candidates.sql",
        cell_key=_cell_key(dimensions),
        cell_columns=", ".join(_cell_columns(dimensions)),
        rows=rows.sql,
        slices=_slices([(dimension.name, f"slice_{dimension.name}") for dimension in dimensions], total=False),
    )


@contextmanager
def _staged(warehouse: Warehouse, scope: Scope) -> Iterator[tuple[str, int, int]]:
    """A staging table with all rows of the scope: its name, and how many rows were written and read."""
    name = f"{STAGING_PREFIX}{scope.table.name}__{scope.date:%Y%m%d}__{uuid.uuid4().hex[:12]}"
    doing = f"Computing {scope.table.name} of {scope.date}"
    version = warehouse.value("SELECT toUnixTimestamp64Micro(now64(6))", doing=doing)
    parameters = scope.parameters(version, name)
    warehouse.execute(f"CREATE TABLE {quoted(name)} AS {quoted(scope.table.name)}", doing=doing)
    try:
        written = read = 0
        columns = ", ".join(column.name for column in scope.table.columns)
        gone = _filled(
            "queries/vanished_rows.sql",
            table=scope.table.name,
            in_range=scope.in_range,
            keys=scope.keys,
            is_computed="has({metrics:Array(String)}, toString(metric))",
        )
        for sql, own in (*statements(scope), (gone, {"metrics": scope.names})):
            done = warehouse.execute(
                f"INSERT INTO {quoted(name)} ({columns})\n{sql}", {**parameters, **own}, doing=doing
            )
            written += done.written_rows
            read += done.read_rows
        yield name, written, read
    finally:
        drop_staging(warehouse, name)


def _publish(warehouse: Warehouse, scope: Scope, staging: str) -> None:
    """Attach the staged rows: readers see all of them at once, and rows of other writers stay."""
    warehouse.execute(
        f"ALTER TABLE {quoted(scope.table.name)} ATTACH PARTITION '{scope.date}' FROM {quoted(staging)}",
        doing=f"Publishing {scope.table.name} of {scope.date}",
        repeatable=True,
    )


def _compare(warehouse: Warehouse, scope: Scope, staging: str) -> tuple[Comparison, ...]:
    """The staged rows against values taken straight from the sources, and among themselves."""
    found: list[Comparison] = []
    parameters = scope.parameters(staging=staging)
    doing = f"Checking {scope.table.name} of {scope.date}"
    staged = warehouse.query(
        "SELECT metric, sumIf(value, dimension = 'total') AS total, countIf(dimension = 'total') AS totals, "  # noqa: S608
        f"count() AS written, uniqExact({scope.keys}, dimension, dimension_value) AS keys, "
        "sumMap([toString(dimension)], [ifNull(value, 0)]) AS by_dimension "
        "FROM {staging:Identifier} WHERE NOT is_deleted GROUP BY metric",
        parameters,
        doing=doing,
    ).rows
    by_metric = {row["metric"]: row for row in staged}
    slots = (scope.end - scope.start) // SLOT if scope.by_slot else 1
    for source, rows in scope.rows.items():
        own = scope.own(source)
        counted = _counted(warehouse, scope, rows, own, doing)
        dimensions = scope.dimensions_of(rows.source)
        for name, expected, additive in [
            (rows.source.events_metric, counted["events"], True),
            *((m.name, counted[m.name], m.aggregate is not None and m.aggregate.is_additive) for m in own),
        ]:
            row = by_metric.get(name)
            total = float(row["total"] or 0) if row else 0.0
            found.append(Comparison("reconciles_with_source", name, float(expected or 0), total))
            if not row:
                continue
            found.append(Comparison("grid_is_full", f"{name}, one row per key", row["keys"], row["written"]))
            if scope.by_slot:
                found.append(Comparison("grid_is_full", f"{name}, slots with a total", slots, row["totals"]))
            sums = dict(zip(*row["by_dimension"], strict=True))
            found += [
                Comparison("slices_add_up", f"{name} by {dimension.name}", total, float(sums.get(dimension.name, 0.0)))
                for dimension in dimensions
                if additive
            ]
    return tuple(found)


def _counted(
    warehouse: Warehouse, scope: Scope, rows: SourceRows, metrics: Iterable[Metric], doing: str
) -> dict[str, float]:
    """Each metric's value in the whole product, summed over the slots, straight from the source's rows."""
    chosen = list(metrics)
    values = ", ".join(["count() AS v_events", *(f"toFloat64({metric.sql}) AS v_{metric.name}" for metric in chosen)])
    sums = ", ".join(
        [
            "sum(v_events) AS events",
            *(f"sumIf(v_{metric.name}, isFinite(v_{metric.name})) AS sum_{metric.name}" for metric in chosen),
        ]
    )
    (row,) = warehouse.query(
        f"SELECT {sums} FROM (SELECT {scope.bucket} AS bucket, {values} FROM {rows.sql} AS events "  # noqa: S608
        "WHERE time >= {start:DateTime('UTC')} AND time < {end:DateTime('UTC')} GROUP BY bucket)",
        scope.parameters(),
        doing=doing,
    ).rows
    return {"events": row["events"], **{metric.name: row[f"sum_{metric.name}"] for metric in chosen}}


def _by_row_sql(scope: Scope, metric: Metric) -> str:
    rows = scope.rows[metric.source]
    dimensions = scope.dimensions_of(rows.source)
    return _filled(
        "queries/metric_values_by_row.sql",
        bucket=scope.bucket,
        rows=rows.sql,
        sql=str(metric.sql),
        slices=_slices([(dimension.name, dimension.sql) for dimension in dimensions]),
        key_columns=scope.key_columns,
    )


def _grid_sql(scope: Scope, source: str) -> str:
    rows = scope.rows[source]
    event = rows.source.events_metric
    empty = [(event, "zero", 0), *((metric.name, metric.empty, metric.definition) for metric in scope.own(source))]
    return _filled(
        "queries/slot_grid.sql",
        events_metrics=_array([_text(event)]),
        empty_metrics=_array(
            f"({_text(event)}, {_text(name)}, {'toNullable(0.)' if means == 'zero' else 'CAST(NULL, ' + _text('Nullable(Float64)') + ')'}, "
            f"toUInt64({definition}))"
            for name, means, definition in empty
        ),
    )


def _value(name: str, sql: str, definition: int) -> str:
    return f"({_text(name)}, toNullable(toFloat64({sql})), toUInt64({definition}))"


def _cell_key(dimensions: Sequence[Dimension]) -> str:
    """One hash of all slices of an event; NULL is a slice like any other."""
    if not dimensions:
        return "toUInt64(0)"
    return " + ".join(
        f"ifNull(cityHash64({dimension.sql}), 0) * {_SPREAD[number % len(_SPREAD)]}"
        for number, dimension in enumerate(dimensions)
    )


def _cell_columns(dimensions: Sequence[Dimension]) -> list[str]:
    return [f"any({dimension.sql}) AS slice_{dimension.name}" for dimension in dimensions]


def _slices(named: Iterable[tuple[str, str]], *, total: bool = True) -> str:
    """The slices of a row as pairs of dimension and value."""
    pairs = [f"({_text(name)}, {named_value(sql)})" for name, sql in named]
    return _array(["('total', 'total')", *pairs] if total else pairs)


def _array(items: Iterable[str]) -> str:
    return f"[{', '.join(items)}]"


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _filled(file: str, **parts: str) -> str:
    return Template(read_sql(file)).substitute(parts)


def _written(moment: datetime.datetime) -> str:
    return f"{moment.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S}"
