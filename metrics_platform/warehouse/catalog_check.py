"""Check the catalogue against ClickHouse: tables, columns, types, rights and SQL of every entry.

An invalid entry is dropped and reported; the others are kept. Only names and types are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from metrics_platform.catalog import Catalog, Dimension, Metric, Source
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.source_rows import (
    RefusedError,
    SourceError,
    SourceRows,
    inner_type,
    require_over_row,
    resolve,
    slice_name_sql,
    types_of,
)

_NUMBER = re.compile(r"(U?Int\d+|Float(32|64)|BFloat16|Decimal\d*\(.*\)|Bool)")


@dataclass(frozen=True)
class CheckedCatalog:
    """The part of a catalogue that ClickHouse can compute.

    Attributes:
        catalog: without the entries that are not valid.
        rows: each source, resolved.
        by_row: metrics whose SQL is more than one aggregate call.
        problems: entry, such as `metrics.revenue` → what is wrong with it and the remedy.
    """

    catalog: Catalog
    rows: Mapping[str, SourceRows]
    by_row: frozenset[str]
    problems: Mapping[str, str]

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics that can be computed."""
        return self.catalog.metrics


def check_catalog(warehouse: Warehouse, catalog: Catalog) -> CheckedCatalog:
    """Check every entry."""
    problems: dict[str, str] = {}
    rows: dict[str, SourceRows] = {}
    by_row: set[str] = set()
    for name, source in catalog.sources.items():
        metrics = catalog.metrics_of(name)
        try:
            rows[name] = _resolve_source(warehouse, source, [str(metric.sql) for metric in metrics], problems)
        except SourceError as error:
            entry, _, text = str(error).partition(": ")
            problems[entry.split(" ")[0]] = str(error)
            unusable = f"its source {name} is not usable: {text or entry}"
            problems |= {f"metrics.{metric.name}": f"metrics.{metric.name}: {unusable}" for metric in metrics}
        else:
            by_row |= _check_metrics(warehouse, rows[name], metrics, problems)
    invalid = {name for name in catalog.metrics if f"metrics.{name}" in problems}
    kept = catalog.without(invalid)
    dependent = set(catalog.metrics) - set(kept.metrics) - invalid
    problems |= {
        f"metrics.{name}": f"metrics.{name}: its numerator or denominator is not usable." for name in dependent
    }
    sources = {name: source_rows.source for name, source_rows in rows.items()}
    return CheckedCatalog(replace(kept, sources=sources), rows, frozenset(by_row), problems)


def _resolve_source(warehouse: Warehouse, source: Source, used: list[str], problems: dict[str, str]) -> SourceRows:
    """The source's rows, with the dimensions that ClickHouse can compute. If one is refused, each is tried alone."""
    rows = resolve(warehouse, source, used)
    try:
        if source.dimensions:
            require_over_row(
                warehouse, rows, ", ".join(slice_name_sql(dimension.sql) for dimension in source.dimensions)
            )
    except RefusedError:
        computable = tuple(
            dimension for dimension in source.dimensions if _is_computable(warehouse, rows, dimension, problems)
        )
        return resolve(warehouse, replace(source, dimensions=computable), used)
    return rows


def _is_computable(warehouse: Warehouse, rows: SourceRows, dimension: Dimension, problems: dict[str, str]) -> bool:
    """Whether ClickHouse can compute a dimension. Adds errors to `problems`."""
    try:
        require_over_row(warehouse, rows, slice_name_sql(dimension.sql))
    except RefusedError as refused:
        entry = f"dimensions.{dimension.name}"
        problem = f"{entry}.sql = {dimension.sql!r} does not fit {rows.source.table}: {refused}"
        problems[entry] = "\n".join(filter(None, [problems.get(entry), problem]))
        return False
    return True


def _check_metrics(
    warehouse: Warehouse, rows: SourceRows, metrics: Sequence[Metric], problems: dict[str, str]
) -> set[str]:
    """Add the errors of metrics to `problems`. Returns the metrics without an aggregate state.

    They are checked one by one only if ClickHouse refuses one of them.
    """
    try:
        _require_numbers(warehouse, rows, metrics)
        _require_states(warehouse, rows, [metric for metric in metrics if metric.aggregate])
        suspects = [metric for metric in metrics if not metric.aggregate]
    except RefusedError:
        suspects = list(metrics)
    by_row = set()
    for metric in suspects:
        try:
            _require_numbers(warehouse, rows, [metric])
            if not _has_state(warehouse, rows, metric):
                _require_aggregate(warehouse, rows, metric)
                by_row.add(metric.name)
        except RefusedError as refused:
            problems[f"metrics.{metric.name}"] = f"metrics.{metric.name}.sql = {metric.sql!r}: {refused}"
    return by_row


def _require_numbers(warehouse: Warehouse, rows: SourceRows, metrics: Sequence[Metric]) -> None:
    """Raise RefusedError if a metric cannot be computed, or is not a number.

    No expression can name the GROUP BY key, so a column outside an aggregate is refused.
    """
    if not metrics:
        return
    values = ", ".join(f"{metric.sql} AS described_{number}" for number, metric in enumerate(metrics))
    for kind in _check_select(warehouse, rows, f"{values} FROM {rows.sql} AS platform_events GROUP BY materialize(0)"):
        if not _NUMBER.fullmatch(inner_type(kind)):
            raise RefusedError(f"it returns {kind}; write one that returns a number")


def _require_states(warehouse: Warehouse, rows: SourceRows, metrics: Sequence[Metric]) -> None:
    """Raise RefusedError if an aggregate has no state that can be merged."""
    if not metrics:
        return
    calls = [call if call.is_zero_without_rows else call.or_null for metric in metrics if (call := metric.aggregate)]
    states = ", ".join(f"{call.state} AS state_{number}" for number, call in enumerate(calls))
    values = ", ".join(f"toFloat64({call.merged(f'state_{number}')})" for number, call in enumerate(calls))
    _check_select(warehouse, rows, f"{values} FROM (SELECT {states} FROM {rows.sql} AS platform_events GROUP BY time)")  # noqa: S608


def _has_state(warehouse: Warehouse, rows: SourceRows, metric: Metric) -> bool:
    if metric.aggregate is None:
        return False
    try:
        _require_states(warehouse, rows, [metric])
    except RefusedError:
        return False
    return True


def _require_aggregate(warehouse: Warehouse, rows: SourceRows, metric: Metric) -> None:
    """Raise RefusedError for an expression without an aggregate: ClickHouse accepts it beside a column."""
    try:
        _check_select(warehouse, rows, f"{metric.sql} AS described, time FROM {rows.sql} AS platform_events")
    except RefusedError:
        return
    raise RefusedError("it has no aggregate; write one, such as count() or sum(amount)")


def _check_select(warehouse: Warehouse, rows: SourceRows, selected: str) -> list[str]:
    return types_of(warehouse, f"SELECT {selected}", f"Checking sources.{rows.source.name}")
