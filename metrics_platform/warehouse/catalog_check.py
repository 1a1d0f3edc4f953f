"""The catalogue against ClickHouse: tables, columns, types, rights and SQL of every entry.

An invalid entry is dropped and reported; the others are kept. Only names and types are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from metrics_platform.catalog import Catalog, Metric, Source
from metrics_platform.expressions import Aggregate
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.source_rows import (
    SourceError,
    SourceRows,
    bare_type,
    explained,
    named_value,
    resolve,
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
    """Check every entry.

    Raises:
        WarehouseError: ClickHouse did not answer, or an answer says nothing about the catalogue.
    """
    problems: dict[str, str] = {}
    rows: dict[str, SourceRows] = {}
    by_row: set[str] = set()
    gone: set[str] = set()
    for name, source in catalog.sources.items():
        metrics = catalog.metrics_of(name)
        try:
            usable = _without_broken_dimensions(warehouse, source, problems)
            found = resolve(warehouse, usable, [str(metric.sql) for metric in metrics])
        except SourceError as error:
            entry, _, text = str(error).partition(": ")
            problems[entry.split(" ")[0]] = str(error)
            problems |= {f"metrics.{metric.name}": f"its source is not usable: {text or entry}" for metric in metrics}
            gone |= {metric.name for metric in metrics}
            continue
        rows[name] = found
        broken, without_state = _check_metrics(warehouse, found, metrics)
        problems |= {f"metrics.{metric}": text for metric, text in broken.items()}
        gone |= set(broken)
        by_row |= without_state
    kept = catalog.without(gone)
    lost = set(catalog.metrics) - set(kept.metrics) - gone
    problems |= {f"metrics.{name}": "its numerator or denominator is not usable, see there" for name in lost}
    sources = {name: found.source for name, found in rows.items()}
    return CheckedCatalog(replace(kept, sources=sources), rows, frozenset(by_row), problems)


def _without_broken_dimensions(warehouse: Warehouse, source: Source, problems: dict[str, str]) -> Source:
    """The source with the dimensions that ClickHouse can compute over its rows."""
    found = resolve(warehouse, source)
    named = {dimension.name: named_value(dimension.sql) for dimension in source.dimensions}
    doing = f"Checking sources.{source.name}"
    if not named or refusal(warehouse, found.sql, ", ".join(named.values()), doing) is None:
        return source
    kept = []
    for dimension in source.dimensions:
        if (text := refusal(warehouse, found.sql, named[dimension.name], doing)) is None:
            kept.append(dimension)
        else:
            entry = f"dimensions.{dimension.name}"
            problem = f"{entry}.sql = {dimension.sql!r} does not fit {source.table}: {text}"
            problems[entry] = "\n".join(filter(None, [problems.get(entry), problem]))
    return replace(source, dimensions=tuple(kept))


def _check_metrics(
    warehouse: Warehouse, rows: SourceRows, metrics: tuple[Metric, ...]
) -> tuple[dict[str, str], set[str]]:
    """Metric → what is wrong with it; and the metrics that have no aggregate state."""
    types = _described(warehouse, rows, [str(metric.sql) for metric in metrics]) if metrics else []
    merged = [metric.aggregate for metric in metrics if metric.aggregate]
    if not isinstance(types, str) and _merges(warehouse, rows, merged):
        found = dict(zip((metric.name for metric in metrics), map(_type_problem, types), strict=True))
        suspects = [metric for metric in metrics if metric.aggregate is None]
    else:
        found, suspects = {}, list(metrics)
        for metric in metrics:
            described = _described(warehouse, rows, [str(metric.sql)])
            found[metric.name] = described if isinstance(described, str) else _type_problem(described[0])
    without_state = set()
    for metric in suspects:
        if metric.aggregate is None or not _merges(warehouse, rows, [metric.aggregate]):
            without_state.add(metric.name)
            # ClickHouse rejects an aggregate beside a column, so an expression that it accepts has none.
            if not found[metric.name] and not isinstance(
                _described(warehouse, rows, [str(metric.sql), "time"], ""), str
            ):
                found[metric.name] = "it has no aggregate; write one, such as count() or sum(amount)"
    broken = {
        metric.name: f"metrics.{metric.name}.sql = {metric.sql!r}: {found[metric.name]}"
        for metric in metrics
        if found[metric.name]
    }
    return broken, without_state - set(broken)


def _merges(warehouse: Warehouse, rows: SourceRows, aggregates: list[Aggregate]) -> bool:
    """Whether the aggregates have states that can be merged."""
    if not aggregates:
        return True
    calls = [aggregate if aggregate.is_zero_without_rows else aggregate.or_null for aggregate in aggregates]
    states = ", ".join(f"{call.state} AS state_{number}" for number, call in enumerate(calls))
    values = ", ".join(f"toFloat64({call.merged(f'state_{number}')})" for number, call in enumerate(calls))
    states_sql = f"SELECT {states} FROM {rows.sql} AS platform_events GROUP BY time"  # noqa: S608
    try:
        warehouse.query(
            f"DESCRIBE (SELECT {values} FROM ({states_sql}))",  # noqa: S608
            doing=f"Checking sources.{rows.source.name}",
        )
    except WarehouseError as error:
        if error.code is None or error.transient:
            raise
        return False
    return True


def _type_problem(kind: str) -> str:
    return "" if _NUMBER.fullmatch(bare_type(kind)) else f"it gives {kind}; write one that gives a number"


def refusal(warehouse: Warehouse, rows: str, selected: str, doing: str) -> str | None:
    """Why ClickHouse refuses expressions over one row of a subquery; None: it does not.

    Raises:
        WarehouseError: ClickHouse did not answer.
    """
    # Beside a plain value, an aggregate is refused.
    sql = f"SELECT {selected}, platform_events.* FROM {rows} AS platform_events"  # noqa: S608
    found = types_of(warehouse, sql, doing, over_row=True)
    return found if isinstance(found, str) else None


def _described(
    warehouse: Warehouse,
    rows: SourceRows,
    selected: list[str],
    grouped: str = "GROUP BY materialize(0)",
) -> list[str] | str:
    """The types of expressions over the rows, or ClickHouse's refusal.

    They are grouped by nothing that an expression can name, so that a column outside of an aggregate is refused.
    """
    columns = ", ".join(f"{sql} AS described_{number}" for number, sql in enumerate(selected))
    sql = f"SELECT {columns} FROM {rows.sql} AS platform_events {grouped}"  # noqa: S608
    return types_of(warehouse, sql, f"Checking sources.{rows.source.name}")


def types_of(warehouse: Warehouse, sql: str, doing: str, *, over_row: bool = False) -> list[str] | str:
    """The types of a SELECT's columns, or ClickHouse's refusal."""
    try:
        answer = warehouse.query(f"DESCRIBE ({sql})", doing=doing)
    except WarehouseError as error:
        if error.code is None or error.transient:
            raise
        return explained(error, over_row=over_row)
    return [row["type"] for row in answer.rows]
