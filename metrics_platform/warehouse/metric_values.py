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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from metrics_platform.catalog import Metric
from metrics_platform.table_names import quote_identifier
from metrics_platform.time_windows import SLOT
from metrics_platform.warehouse.catalog_check import CheckedCatalog
from metrics_platform.warehouse.client import Parameters, Warehouse
from metrics_platform.warehouse.comparison import Comparison
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.partitions import drop_leftovers, staged_partition
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.slice_choice import add_slices, choose_slices
from metrics_platform.warehouse.source_rows import RefusedError, SourceRows, refusals
from metrics_platform.warehouse.tables import SLICE_VALUES, DailyTable
from metrics_platform.warehouse.value_sql import (
    Scope,
    as_number,
    mergeable,
    runnable_sql,
    source_statements,
    statements,
)

# Events may arrive between the scan and the count that it is compared with, so it is tried up to three times.
_TRIES = 3


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
        sql: the statements that aggregated the sources, in runnable form.
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
        """The quantities that differ."""
        return tuple(comparison for comparison in self.comparisons if not comparison.holds)


def compute_values(  # noqa: PLR0917
    warehouse: Warehouse,
    table: DailyTable,
    stretches: Iterable[tuple[datetime.date, datetime.datetime, datetime.datetime]],
    checked: CheckedCatalog,
    zone: ZoneInfo,
    metrics: Sequence[Metric] | None = None,
) -> Iterator[ValuesResult]:
    """Compute stretches (day, start, end) of all metrics, or of `metrics`. Yields each when it is published.

    Running it again gives the same rows, whatever happened before, and leaves all other rows as they are. It ends after
    the first stretch whose checks do not hold.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer; nothing is half-written.
        SchemaMismatchError: the table is there with other columns.
    """
    create_tables(warehouse, [SLICE_VALUES, table])
    drop_leftovers(warehouse, table)
    for stretch in stretches:
        result = compute(warehouse, Scope.of(checked, metrics, table, *stretch, zone))
        yield result
        if not result.published:
            return


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
    """The scope without some metrics, and without the quotients that use them."""
    removed = set(names)
    kept = (metric for metric in scope.metrics if not removed & {metric.name, metric.numerator, metric.denominator})
    return replace(scope, metrics=tuple(kept))


def _without_failing(warehouse: Warehouse, scope: Scope) -> tuple[Scope, dict[str, str]]:
    """The scope without what fails on the rows, and entry → what is wrong with it. Each entry is tried alone."""
    problems: dict[str, str] = {}
    kept: dict[str, SourceRows] = {}

    def works(entry: str, said: str, rows: SourceRows, *metrics: Metric) -> bool:
        try:
            _try(warehouse, replace(scope, rows={rows.source.name: rows}, metrics=metrics))
        except RefusedError as refused:
            problems[entry] = f"{said}: {refused}"
            return False
        return True

    for name, rows in scope.rows.items():
        entry, table = f"sources.{name}", rows.source.table
        if not works(entry, f"{entry}: a row of {table} cannot be read", rows.sliced_by()):
            problems |= {
                f"metrics.{metric.name}": f"metrics.{metric.name}: its source {name} is not usable."
                for metric in scope.own(name)
            }
            continue
        kept[name] = rows.sliced_by(
            *(
                dimension
                for dimension in scope.dimensions_of(rows.source)
                if works(
                    entry := f"dimensions.{dimension.name}",
                    f"{entry}.sql = {dimension.sql!r} fails on a row of {table}",
                    rows.sliced_by(dimension),
                )
            )
        )
        for metric in scope.own(name):
            works(f"metrics.{metric.name}", f"metrics.{metric.name}.sql = {metric.sql!r}", kept[name], metric)
    failing = [entry.removeprefix("metrics.") for entry in problems if entry.startswith("metrics.")]
    return replace(_without(scope, failing), rows=kept), problems


def _try(warehouse: Warehouse, scope: Scope) -> None:
    """Compute the values of the scope and discard them; raises RefusedError."""
    with refusals():
        for sql, parameters in source_statements(scope):
            warehouse.execute(
                f"{sql}\nFORMAT Null", {**scope.parameters(), **parameters}, operation="Trying an entry alone"
            )


def _unstable_metrics(scope: Scope, result: ValuesResult) -> dict[str, str]:
    """Entry → why it is left out, if only metrics other than counts and sums do not reconcile."""
    suspects = {
        metric.name: metric
        for metric in scope.metrics
        if metric.sql and not (metric.aggregate and metric.aggregate.is_additive)
    }
    if not all(violation.quantity in suspects for violation in result.violations):
        return {}
    return {
        f"metrics.{violation.quantity}": (
            f"metrics.{violation.quantity}.sql = {suspects[violation.quantity].sql!r}: gave {violation.expected:g} and "
            f"then {violation.actual:g} over the same rows; use an aggregate that does not depend on their order, such "
            "as quantileExact(0.5)(amount)"
        )
        for violation in result.violations
    }


def _compute(warehouse: Warehouse, scope: Scope) -> ValuesResult:
    started = time.perf_counter()
    choose_slices(warehouse, scope)
    for attempt in range(1, _TRIES + 1):
        with staged_partition(warehouse, scope.table, scope.date, _selects(warehouse, scope)) as staged:
            if attempt < _TRIES and add_slices(warehouse, scope, staged.name):
                continue
            comparisons = _compare(warehouse, scope, staged.name)
            holds = all(comparison.holds for comparison in comparisons)
            if holds:
                _publish(warehouse, scope, staged.name)
            if holds or attempt == _TRIES:
                return ValuesResult(
                    scope.date,
                    scope.start,
                    scope.end,
                    metrics=tuple(metric.name for metric in scope.metrics),
                    rows=staged.totals.rows,
                    comparisons=comparisons,
                    published=holds,
                    read_rows=staged.read_rows,
                    seconds=time.perf_counter() - started,
                    sql="\n\n".join(runnable_sql(scope)),
                )
    raise AssertionError("unreachable: the last attempt returns")


def _selects(warehouse: Warehouse, scope: Scope) -> list[tuple[str, Parameters]]:
    """The SELECTs that fill a staging table with all rows of the scope, each with its parameters."""
    version = warehouse.value("SELECT toUnixTimestamp64Micro(now64(6))", operation=f"Computing {scope.table.name}")
    gone = scope.filled("queries/vanished_rows.sql"), {"metrics": scope.names}
    return [(sql, {**scope.parameters(version), **own}) for sql, own in (*statements(scope), gone)]


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
    aggregate = mergeable(scope, metric)
    value = as_number(metric, aggregate.call if aggregate else str(metric.sql))
    results = warehouse.query(
        f"SELECT {scope.bucket} AS platform_bucket, {value} AS platform_value FROM {rows} AS platform_events "  # noqa: S608
        "WHERE time >= {start:DateTime('UTC')} AND time < {end:DateTime('UTC')} GROUP BY platform_bucket",
        scope.parameters(),
        operation=f"Computing {metric.name}",
    ).rows
    values = {row["platform_bucket"].replace(tzinfo=datetime.UTC): row["platform_value"] for row in results}
    if metric.empty == "zero":
        slots = (scope.end - scope.start) // SLOT
        return {start: values.get(start, 0.0) for start in (scope.start + number * SLOT for number in range(slots))}
    return values


def _publish(warehouse: Warehouse, scope: Scope, staging: str) -> None:
    """Attach the staged rows: readers see all of them at once, and rows of other writers stay.

    Of two writers of the same slots the later one wins; then rows that only the earlier one wrote are removed.
    """
    operation = f"Publishing {scope.table.name} of {scope.date}"
    warehouse.execute(
        f"ALTER TABLE {quote_identifier(scope.table.name)} ATTACH PARTITION '{scope.date}' "
        f"FROM {quote_identifier(staging)}",
        operation=operation,
        repeatable=True,
    )
    warehouse.execute(
        f"INSERT INTO {quote_identifier(scope.table.name)}\n{scope.filled('queries/superseded_rows.sql')}",
        {**scope.parameters(), "metrics": scope.names},
        operation=operation,
        repeatable=True,
    )


def _compare(warehouse: Warehouse, scope: Scope, staging: str) -> tuple[Comparison, ...]:
    """The staged rows against values taken straight from the sources, and among themselves."""
    comparisons: list[Comparison] = []
    operation = f"Checking {scope.table.name} of {scope.date}"
    staged = warehouse.query(
        "SELECT metric, sumIf(value, dimension = 'total') AS total, countIf(dimension = 'total') AS totals, "  # noqa: S608
        f"count() AS written, uniqExact({scope.keys}, dimension, dimension_value) AS keys, "
        "sumMap([toString(dimension)], [ifNull(value, 0)]) AS by_dimension "
        "FROM {staging:Identifier} WHERE NOT is_deleted GROUP BY metric",
        {"staging": staging},
        operation=operation,
    ).rows
    by_metric = {row["metric"]: row for row in staged}
    slots = (scope.end - scope.start) // SLOT if scope.by_slot else 1
    for source, rows in scope.rows.items():
        own = scope.own(source)
        counted = _counted(warehouse, scope, rows, own, operation)
        dimensions = scope.dimensions_of(rows.source)
        additive = [True, *(metric.aggregate is not None and metric.aggregate.is_additive for metric in own)]
        names = [rows.source.events_metric, *(metric.name for metric in own)]
        for name, (expected, magnitude), adds_up in zip(names, counted, additive, strict=True):
            row = by_metric.get(name)
            total = float(row["total"] or 0) if row else 0.0
            comparisons.append(
                Comparison("reconciles_with_source", name, expected, total, magnitude=max(1.0, magnitude))
            )
            if not row:
                continue
            comparisons.append(Comparison("grid_is_full", f"{name}, one row per key", row["keys"], row["written"]))
            if scope.by_slot:
                comparisons.append(Comparison("grid_is_full", f"{name}, slots with a total", slots, row["totals"]))
            sums = dict(zip(*row["by_dimension"], strict=True))
            comparisons += [
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
    return tuple(comparisons)


def _counted(
    warehouse: Warehouse, scope: Scope, rows: SourceRows, metrics: Sequence[Metric], operation: str
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
        operation=operation,
    ).rows
    numbers = [float(number or 0) for number in row.values()]
    absolute = iter(numbers[len(values) :])
    return [
        (number, next(absolute) if magnitude else abs(number))
        for number, magnitude in zip(numbers, [None, *magnitudes], strict=False)
    ]
