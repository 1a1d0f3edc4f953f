"""`metrics-platform metrics`: lists the catalogue's metrics, or tries one entry on the latest slots."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metrics_platform.catalog import Catalog, Metric, load_catalog
from metrics_platform.formats import formats_for
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, SlotRange, day_of
from metrics_platform.warehouse.catalog_check import CheckedCatalog, check_catalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.metric_values import total_values
from metrics_platform.warehouse.schema import tables_exist
from metrics_platform.warehouse.slots import lag_of, last_complete_slot
from metrics_platform.warehouse.tables import METRIC_DAILY, SLOT_METRICS, VERDICTS, DailyTable
from metrics_platform.warehouse.value_sql import Scope, runnable_sql

# Number of latest slots that an entry is tried on.
_TRIED_SLOTS = 8

_LATEST = """
SELECT toString(metric) AS name, argMax(tuple({column}), {at}).1 AS latest  -- argMax alone skips NULL
FROM {table} FINAL
WHERE dimension = 'total' AND event_date >= {{since:Date}}
GROUP BY metric
"""


class UnknownMetricError(LookupError):
    """The catalogue has no metric of that name."""


def list_metrics(settings: Settings, console: Console) -> bool:
    """Print every metric with its latest values and state; returns whether all entries can be computed."""
    catalog = load_catalog(settings)
    warehouse = Warehouse.from_settings(settings)
    checked = check_catalog(warehouse, catalog)
    since = datetime.datetime.now(settings.zone).date() - datetime.timedelta(days=8)
    slots = _latest(warehouse, SLOT_METRICS, "value", "slot_start", since)
    days = _latest(warehouse, METRIC_DAILY, "value", "event_date", since)
    states = _latest(warehouse, VERDICTS, "status", "slot_start", since)
    table = Table(caption="To try an entry, run `metrics-platform metrics NAME`.")
    for heading in ("metric", "kind", "source", "last slot", "last day", "state"):
        table.add_column(
            heading, justify="right" if heading.startswith("last") else "left", no_wrap=heading == "metric"
        )
    for metric in catalog.metrics.values():
        broken = metric.name not in checked.metrics
        state = "not valid" if broken else states.get(metric.name, "not evaluated yet")
        table.add_row(
            metric.name,
            metric.kind,
            metric.source,
            _value(metric, slots.get(metric.name)),
            _value(metric, days.get(metric.name)),
            state.replace("_", " "),
        )
    console.print(table)
    for problem in checked.problems.values():
        console.print(f"[red]✗[/red] {escape(problem)}", highlight=False, soft_wrap=True)
    return not checked.problems


def show_metric(settings: Settings, name: str, console: Console) -> None:
    """Compute and print the values of an entry in the last two hours, and its SQL for the last slot; writes nothing.

    Raises:
        UnknownMetricError: the metric does not exist or cannot be computed.
    """
    catalog = load_catalog(settings)
    if name not in catalog.metrics:
        raise UnknownMetricError(f"Unknown metric {name!r}. Choose from {', '.join(catalog.metrics)}.")
    warehouse = Warehouse.from_settings(settings)
    checked = check_catalog(warehouse, catalog)
    if name not in checked.metrics:
        raise UnknownMetricError(checked.problems[f"metrics.{name}"])
    metric = checked.metrics[name]
    console.print(_heading(metric, catalog), highlight=False)
    lag = lag_of((source.lag for source in checked.catalog.sources.values()), settings)
    last = last_complete_slot(settings, lag, datetime.datetime.now(datetime.UTC))
    if last is None:
        console.print("No slot is complete yet.")
        return
    scope = _scope(checked, metric, SlotRange(last.end - _TRIED_SLOTS * SLOT, last.end), settings)
    values = total_values(warehouse, scope, metric)
    console.print(
        f"{_TRIED_SLOTS} slots up to {last.end.astimezone(settings.zone):%Y-%m-%d %H:%M} {settings.timezone}",
        highlight=False,
    )
    table = Table()
    table.add_column("slot")
    table.add_column(name, justify="right")
    for number in range(_TRIED_SLOTS):
        start = scope.start + number * SLOT
        table.add_row(f"{start.astimezone(settings.zone):%H:%M}", _value(metric, values.get(start)))
    console.print(table)
    console.print("\n-- The SQL of the last slot, as the monitor runs it:", highlight=False)
    for sql in runnable_sql(_scope(checked, metric, SlotRange(last.start, last.end), settings)):
        console.print(sql, highlight=False, markup=False, soft_wrap=True)


def _scope(checked: CheckedCatalog, metric: Metric, slots: SlotRange, settings: Settings) -> Scope:
    """The scope of one metric: itself and, for a quotient, its numerator and denominator."""
    parts = [checked.metrics[part] for part in (metric.numerator, metric.denominator) if part]
    date = day_of(slots.last.start.astimezone(settings.zone).date(), settings.zone).date
    return Scope.of(checked, (*parts, metric), SLOT_METRICS, date, slots.start, slots.end, settings.zone)


def _heading(metric: Metric, catalog: Catalog) -> str:
    definition = metric.sql or f"{metric.numerator} / {metric.denominator}"
    sources = " and ".join(
        f"{name} ({catalog.sources[name].table})" for name in sorted(catalog.sources_of(metric.name))
    )
    lines = [f"[bold]{metric.name}[/bold] = {escape(definition)}", escape(f"{metric.kind}, from {sources}")]
    return "\n".join([*lines, *([escape(metric.description)] if metric.description else [])])


def _value(metric: Metric, value: float | None) -> str:
    formats = formats_for("en")
    text = formats.percent(value) if metric.kind == "share" else formats.number(value)
    return f"{text} {metric.unit_text}" if metric.unit_text and value is not None else text


def _latest(warehouse: Warehouse, table: DailyTable, column: str, at: str, since: datetime.date) -> Mapping[str, Any]:
    """The latest value of a column for each metric's total."""
    if not tables_exist(warehouse, [table]):
        return {}
    sql = _LATEST.format(column=column, at=at, table=table.name)
    rows = warehouse.query(sql, {"since": since}, operation=f"Reading {table.name}").rows
    return {row["name"]: row["latest"] for row in rows}
