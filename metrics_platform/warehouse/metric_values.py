"""The long tables: the values of metrics in slots (`slot_metrics`) and days (`metric_daily`). No Dagster.

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
from zoneinfo import ZoneInfo

from metrics_platform import expressions
from metrics_platform.calendar import SLOT, day_of, first_instant
from metrics_platform.catalog import Catalog, Dimension, Metric, Source
from metrics_platform.table_names import quoted
from metrics_platform.warehouse.client import Parameters, Warehouse
from metrics_platform.warehouse.comparison import Comparison
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.partitions import STAGING_PREFIX, drop_staging
from metrics_platform.warehouse.source_rows import SourceRows, explained, hash_of, named_value
from metrics_platform.warehouse.tables import SLOT_METRICS, DailyTable, read_sql

# Events may arrive between the scan and the count that it is compared with; a second and a third try settle it.
_TRIES = 3
VALUES_QUERY = "queries/metric_values.sql"
_LOOK_BACK = datetime.timedelta(days=7)


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
    zone: ZoneInfo

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

    @property
    def week_before(self) -> tuple[datetime.datetime, datetime.datetime]:
        """The seven complete days before the day."""
        return first_instant(self.date - _LOOK_BACK, self.zone), first_instant(self.date, self.zone)

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

    An entry that fails on the rows, such as a division by an integer of zero, is left out; the others go on. So is a
    metric that gives another value each time, since it depends on the order of rows.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer; nothing is half-written.
    """
    problems: dict[str, str] = {}
    try:
        result = _compute(warehouse, scope)
    except WarehouseError as error:
        if error.transient or error.code is None:
            raise
        scope, problems = _without_failing(warehouse, scope)
        if not problems:
            raise
        result = _compute(warehouse, scope)
    if unstable := _unstable_metrics(scope, result):
        problems |= unstable
        result = _compute(warehouse, _without(scope, [entry.removeprefix("metrics.") for entry in unstable]))
    return replace(result, problems=problems)


def _without(scope: Scope, names: Iterable[str]) -> Scope:
    """The same without some metrics, and without the quotients that are made of them."""
    catalog = scope.catalog.without(names)
    return replace(
        scope, catalog=catalog, metrics=tuple(each for each in scope.metrics if each.name in catalog.metrics)
    )


def _without_failing(warehouse: Warehouse, scope: Scope) -> tuple[Scope, dict[str, str]]:
    """The scope without what fails on the rows, and entry → what is wrong with it. Each entry is tried alone."""
    problems: dict[str, str] = {}
    rows: dict[str, SourceRows] = {}
    gone: set[str] = set()
    for name, found in scope.rows.items():
        bare = _with_dimensions(found, ())
        if text := _failure(warehouse, replace(scope, rows={name: bare}, metrics=())):
            problems[f"sources.{name}"] = f"sources.{name}: a row of {found.source.table} cannot be read: {text}"
            problems |= {f"metrics.{metric.name}": "its source is not usable, see there" for metric in scope.own(name)}
            gone |= {metric.name for metric in scope.own(name)}
            continue
        kept = []
        for dimension in scope.dimensions_of(found.source):
            if text := _failure(
                warehouse, replace(scope, rows={name: _with_dimensions(found, (dimension,))}, metrics=())
            ):
                entry = f"dimensions.{dimension.name}"
                problems[entry] = f"{entry}.sql = {dimension.sql!r} fails on a row of {found.source.table}: {text}"
            else:
                kept.append(dimension)
        rows[name] = _with_dimensions(found, tuple(kept))
        for metric in scope.own(name):
            if text := _failure(warehouse, replace(scope, rows={name: rows[name]}, metrics=(metric,))):
                problems[f"metrics.{metric.name}"] = f"metrics.{metric.name}.sql = {metric.sql!r}: {text}"
                gone.add(metric.name)
    return replace(_without(scope, gone), rows=rows), problems


def _with_dimensions(rows: SourceRows, dimensions: tuple[Dimension, ...]) -> SourceRows:
    return replace(rows, source=replace(rows.source, dimensions=dimensions))


def _failure(warehouse: Warehouse, scope: Scope) -> str:
    """What ClickHouse says when the values of the scope are computed for nobody; empty: nothing is wrong."""
    try:
        for sql, parameters in _source_statements(scope):
            warehouse.execute(
                f"{sql}\nFORMAT Null", {**scope.parameters(), **parameters}, doing="Trying an entry alone"
            )
    except WarehouseError as error:
        if error.transient or error.code is None:
            raise
        return explained(error)
    return ""


def _unstable_metrics(scope: Scope, result: ValuesResult) -> dict[str, str]:
    """Entry → why it is left out, where nothing but metrics that are no plain counts or sums do not reconcile."""
    suspects = {
        each.name: each for each in scope.metrics if each.sql and not (each.aggregate and each.aggregate.is_additive)
    }
    if not all(violation.quantity in suspects for violation in result.violations):
        return {}
    return {
        f"metrics.{found.quantity}": f"metrics.{found.quantity}.sql = {suspects[found.quantity].sql!r}: gave "
        f"{found.expected:g} and then {found.actual:g} over the same rows; use an aggregate that does not depend on "
        "their order, such as quantileExact(0.5)(amount)"
        for found in result.violations
    }


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
    states = ["countState() AS platform_count"]
    values = [_value(rows.source.events_metric, "countMerge(platform_count)", rows.source.definition)]
    for metric in scope.own(source):
        if (aggregate := _mergeable(scope, metric)) is not None:
            state = f"platform_state_{metric.name}"
            states.append(f"{aggregate.state} AS {state}")
            values.append(_value(metric.name, _known_number(metric, aggregate.merged(state)), metric.definition))
    return _filled(
        VALUES_QUERY,
        bucket=scope.bucket,
        cell_key=hash_of(dimension.sql for dimension in dimensions),
        cell_columns=",\n        ".join([*_cell_columns(dimensions), *states]),
        rows=rows.sql,
        slices=_slices([(dimension.name, f"platform_slice_{dimension.name}") for dimension in dimensions]),
        values=",\n            ".join(values),
        key_columns=scope.key_columns,
    )


def _mergeable(scope: Scope, metric: Metric) -> expressions.Aggregate | None:
    """The aggregate whose states give a metric; None where it takes a scan of its own.

    An aggregate that does not count has no value where it finds nothing: the largest of no amounts is not 0.
    """
    if metric.name in scope.by_row or metric.aggregate is None:
        return None
    return metric.aggregate if metric.aggregate.is_zero_without_rows else metric.aggregate.or_null


def _known_number(metric: Metric, sql: str) -> str:
    """A value as a number. The sum of amounts that are all NULL is NULL; it means what a slot without rows means."""
    return f"ifNull(toFloat64({sql}), 0)" if metric.empty == "zero" else f"toFloat64({sql})"


def _source_statements(scope: Scope) -> Iterator[tuple[str, Parameters]]:
    """The SELECTs that read the sources, each with its parameters beside the shared ones."""
    for source in scope.rows:
        shared = {"source": source, "rows_definition": scope.rows[source].source.definition}
        yield values_sql(scope, source), shared
        for metric in scope.own(source):
            if _mergeable(scope, metric) is None:
                own = {"metric": metric.name, "definition": metric.definition}
                yield _by_row_sql(scope, metric), {**shared, **own}


def statements(scope: Scope) -> Iterator[tuple[str, Parameters]]:
    """The SELECTs that fill the staging table, in their order, each with its parameters beside the shared ones."""
    yield from _source_statements(scope)
    for source in scope.rows:
        if scope.by_slot:
            rows = scope.rows[source].source
            own = {
                "dimensions": [dimension.name for dimension in rows.monitored_dimensions],
                "rows_definition": rows.definition,
            }
            yield _filled("queries/slot_grid.sql", **_empty_metrics(scope, source)), own
        else:
            yield _filled("queries/day_totals.sql", empty_metrics=_empty_metrics(scope, source)["empty_metrics"]), {}
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
    for sql, parameters in _source_statements(scope):
        yield _runnable(sql, {**scope.parameters(), **parameters})


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
    rows = scope.rows[metric.source].sql
    aggregate = _mergeable(scope, metric)
    value = _known_number(metric, aggregate.call if aggregate else str(metric.sql))
    found = warehouse.query(
        f"SELECT {scope.bucket} AS platform_bucket, {value} AS platform_value FROM {rows} AS platform_events "  # noqa: S608
        "WHERE time >= {start:DateTime('UTC')} AND time < {end:DateTime('UTC')} GROUP BY platform_bucket",
        scope.parameters(),
        doing=f"Computing {metric.name}",
    ).rows
    values = {row["platform_bucket"].replace(tzinfo=datetime.UTC): row["platform_value"] for row in found}
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
        chosen = _chosen(warehouse, scope, rows.source)
        if first := [dimension for dimension in dimensions if not chosen.get(dimension.name)]:
            _choose(warehouse, scope, source, first, *_candidates_before(warehouse, scope, source, first))
            chosen = _chosen(warehouse, scope, rows.source)
        if open_ := [dimension for dimension in dimensions if chosen.get(dimension.name, 0) < dimension.values]:
            stretch = {"from": _written(scope.start), "until": _written(scope.end)}
            _choose(warehouse, scope, source, open_, _candidates_sql(rows, open_), stretch)


def _chosen(warehouse: Warehouse, scope: Scope, source: Source) -> dict[str, int]:
    """Dimension → how many of its values are slices of their own on the day."""
    rows = warehouse.query(
        "SELECT dimension, uniqExact(dimension_value) AS chosen FROM slice_values WHERE event_date = {event_date:Date} "
        "AND source = {source:String} AND definition = {rows_definition:UInt64} GROUP BY dimension",
        {"event_date": scope.date, "source": source.name, "rows_definition": source.definition},
        doing=f"Reading the slices of {scope.date}",
    ).rows
    return {row["dimension"]: row["chosen"] for row in rows}


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
        candidates=candidates,
        dimension_names=_array(_text(dimension.name) for dimension in dimensions),
        dimension_limits=_array(str(dimension.values) for dimension in dimensions),
    )
    warehouse.execute(
        f"INSERT INTO slice_values (event_date, source, dimension, definition, dimension_value)\n{sql}",
        {
            "event_date": scope.date,
            "source": source,
            "rows_definition": scope.rows[source].source.definition,
            **parameters,
        },
        doing=f"Choosing the slices of {source} on {scope.date}",
        repeatable=True,
    )


def _candidates_before(
    warehouse: Warehouse, scope: Scope, source: str, dimensions: Sequence[Dimension]
) -> tuple[str, Parameters]:
    """The volumes of the seven days before: from the table, unless it lacks some or some values were folded there."""
    start, end = scope.week_before
    event = scope.rows[source].source
    names = [dimension.name for dimension in dimensions]
    parameters = {
        "metric": event.events_metric,
        "definition": event.definition,
        "dimensions": [*names, "total"],
        "event_date": scope.date,
    }
    stretch = (
        f"FROM {scope.table.name} FINAL WHERE metric = {{metric:String}} AND definition = {{definition:UInt64}} "
        "AND event_date >= {event_date:Date} - 7 AND event_date < {event_date:Date} "
        "AND has({dimensions:Array(String)}, toString(dimension))"
    )
    (row,) = warehouse.query(
        "SELECT countIf(dimension = 'total') AS totals, countIf(dimension_value = 'other' AND value > 0) AS folded, "
        "sumIf(value, dimension = 'total') AS events, "
        f"sumMap([toString(dimension)], [ifNull(value, 0)]) AS by_dimension {stretch}",
        parameters,
        doing=f"Reading the slices before {scope.date}",
    ).rows
    days = [scope.date - datetime.timedelta(days=number) for number in range(1, 8)]
    wanted = (end - start) // SLOT if scope.by_slot else sum(bool(day_of(day, scope.zone).hours) for day in days)
    sums = dict(zip(*row["by_dimension"], strict=True))
    if row["totals"] == wanted and not row["folded"] and all(sums.get(name, 0) == row["events"] for name in names):
        return (
            "SELECT dimension AS candidate_dimension, dimension_value AS candidate_value, value AS candidate_events\n"
            f"{stretch} AND dimension != 'total' AND value > 0",
            parameters,
        )
    return _candidates_sql(scope.rows[source], dimensions), {"from": _written(start), "until": _written(end)}


def _candidates_sql(rows: SourceRows, dimensions: Sequence[Dimension]) -> str:
    return _filled(
        "queries/slice_candidates.sql",
        cell_key=hash_of(dimension.sql for dimension in dimensions),
        cell_columns=", ".join(_cell_columns(dimensions)),
        rows=rows.sql,
        slices=_slices([(dimension.name, f"platform_slice_{dimension.name}") for dimension in dimensions], total=False),
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
    """Attach the staged rows: readers see all of them at once, and rows of other writers stay.

    Of two writers of the same slots the later one wins; then rows that only the earlier one wrote are removed.
    """
    doing = f"Publishing {scope.table.name} of {scope.date}"
    warehouse.execute(
        f"ALTER TABLE {quoted(scope.table.name)} ATTACH PARTITION '{scope.date}' FROM {quoted(staging)}",
        doing=doing,
        repeatable=True,
    )
    superseded = _filled(
        "queries/superseded_rows.sql", table=scope.table.name, in_range=scope.in_range, keys=scope.keys
    )
    columns = ", ".join(column.name for column in scope.table.columns)
    warehouse.execute(
        f"INSERT INTO {quoted(scope.table.name)} ({columns})\n{superseded}",
        {**scope.parameters(), "metrics": scope.names},
        doing=doing,
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
        additive = [True, *(metric.aggregate is not None and metric.aggregate.is_additive for metric in own)]
        names = [rows.source.events_metric, *(metric.name for metric in own)]
        for name, (expected, magnitude), adds_up in zip(names, counted, additive, strict=True):
            row = by_metric.get(name)
            total = float(row["total"] or 0) if row else 0.0
            found.append(Comparison("reconciles_with_source", name, expected, total, magnitude=max(1.0, magnitude)))
            if not row:
                continue
            found.append(Comparison("grid_is_full", f"{name}, one row per key", row["keys"], row["written"]))
            if scope.by_slot:
                found.append(Comparison("grid_is_full", f"{name}, slots with a total", slots, row["totals"]))
            sums = dict(zip(*row["by_dimension"], strict=True))
            found += [
                Comparison(
                    "slices_add_up",
                    f"{name} by {dimension.name}",
                    total,
                    float(sums.get(dimension.name, 0.0)),
                    magnitude=max(1.0, magnitude),
                )
                for dimension in dimensions
                if adds_up
            ]
    return tuple(found)


def _counted(
    warehouse: Warehouse, scope: Scope, rows: SourceRows, metrics: Sequence[Metric], doing: str
) -> list[tuple[float, float]]:
    """The number of events and each metric's value in the whole product, straight from the source's rows.

    All are summed over the slots; each comes with the same of the absolute amounts.
    """
    values = ["count()", *(str(metric.sql) for metric in metrics)]
    magnitudes = [metric.aggregate.magnitude if metric.aggregate else None for metric in metrics]
    selected = [
        f"toFloat64({sql}) AS platform_{number}" for number, sql in enumerate([*values, *filter(None, magnitudes)])
    ]
    sums = ", ".join(f"sumIf(platform_{number}, isFinite(platform_{number}))" for number in range(len(selected)))
    (row,) = warehouse.query(
        f"SELECT {sums} FROM (SELECT {scope.bucket} AS platform_bucket, {', '.join(selected)} "  # noqa: S608
        f"FROM {rows.sql} AS platform_events "
        "WHERE time >= {start:DateTime('UTC')} AND time < {end:DateTime('UTC')} GROUP BY platform_bucket)",
        scope.parameters(),
        doing=doing,
    ).rows
    numbers = [float(number or 0) for number in row.values()]
    absolute = iter(numbers[len(values) :])
    return [
        (number, next(absolute) if magnitude else abs(number))
        for number, magnitude in zip(numbers, [None, *magnitudes], strict=False)
    ]


def _by_row_sql(scope: Scope, metric: Metric) -> str:
    rows = scope.rows[metric.source]
    dimensions = scope.dimensions_of(rows.source)
    return _filled(
        "queries/metric_values_by_row.sql",
        bucket=scope.bucket,
        rows=rows.sql,
        value=f"toNullable({_known_number(metric, str(metric.sql))})",
        slices=_slices([(dimension.name, dimension.sql) for dimension in dimensions]),
        key_columns=scope.key_columns,
    )


def _empty_metrics(scope: Scope, source: str) -> dict[str, str]:
    """What a source's metrics are where nothing happened, as parts of the SQL that fills the grid."""
    rows = scope.rows[source].source
    event = _text(rows.events_metric)
    empty = [(rows.events_metric, "zero", rows.definition)]
    empty += [(metric.name, metric.empty, metric.definition) for metric in scope.own(source)]
    values = {"zero": "toNullable(0.)", "unknown": "CAST(NULL, 'Nullable(Float64)')"}
    return {
        "events_metrics": _array([event]),
        "empty_metrics": _array(
            f"({event}, {_text(name)}, {values[means]}, toUInt64({definition}))" for name, means, definition in empty
        ),
    }


def _value(name: str, sql: str, definition: int) -> str:
    return f"({_text(name)}, toNullable(toFloat64({sql})), toUInt64({definition}))"


def _cell_columns(dimensions: Sequence[Dimension]) -> list[str]:
    return [f"any({dimension.sql}) AS platform_slice_{dimension.name}" for dimension in dimensions]


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
