"""Question 3: what does a check of a slot cost, and what does that depend on?

With more history and more events behind the slot; with ten thousand series; and the slot's SQL beside the statement
that it replaced, on a slot of millions of events.
"""

from __future__ import annotations

import datetime
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from benchmarks.measure import Usage, alone, measured, median_seconds, median_usage, table
from benchmarks.source import (
    checked_catalog,
    create_source,
    empty_clickhouse,
    read_query,
    settings_of,
    source_database,
    write_evenly,
)
from metrics_platform.catalog import load_catalog
from metrics_platform.detection import seasonal
from metrics_platform.detection.evaluate import evaluate
from metrics_platform.detection.series import SlotSeries
from metrics_platform.monitor.verdicts import evaluate_slots
from metrics_platform.settings import Settings, load_settings
from metrics_platform.table_names import parse_table_name
from metrics_platform.time_windows import SLOT, Slot, SlotRange
from metrics_platform.warehouse.catalog_check import CheckedCatalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.slots import compute_slots
from metrics_platform.warehouse.tables import SLICE_VALUES, SLOT_METRICS
from metrics_platform.warehouse.value_sql import Scope, statements

_END = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
_ONE_BY_ONE = 60  # series, from which the time of all is extrapolated
_ONE_DAY = datetime.timedelta(days=1)
_TURNS = 5
_TEXTS = ("action", "country", "city", "os", "source")
# Users of a slot of five million actions, in a product with half a billion a day.
_ACTIONS_A_USER = 8


@dataclass(frozen=True)
class Evaluating:
    """Some series in one slot: seconds at once, and one after the other, extrapolated from some of them."""

    series: int
    at_once: float
    one_by_one: float


@dataclass(frozen=True)
class Check:
    """A check of the latest slot.

    Attributes:
        compute_seconds, evaluate_seconds: what its two parts took.
        read_rows: rows that ClickHouse read to compute the slots.
    """

    events: int
    days: int
    compute_seconds: float
    evaluate_seconds: float
    read_rows: int

    @property
    def seconds(self) -> float:
        return self.compute_seconds + self.evaluate_seconds


@dataclass(frozen=True)
class ManySeries:
    """A check of one slot with many series: what computing and evaluating cost, and ClickHouse's largest query."""

    series: int
    compute: Usage
    evaluate: Usage
    engine_mib: float


@dataclass(frozen=True)
class SlotSql:
    """The slot's SQL on one slot: processor and wall seconds of the old statement and of those now.

    Attributes:
        texts: the type of the source's text columns.
        check_seconds: wall seconds of the whole slot now, with the choice of slices and the checks.
    """

    events: int
    texts: str
    old_processor: float
    old_seconds: float
    new_processor: float
    new_seconds: float
    check_seconds: float


def evaluating(series: int) -> Evaluating:
    """Evaluate made-up series of 29 days with the default detectors, as slices of the built-in metrics."""
    random = np.random.default_rng(1)
    metrics = [
        (metric, config)
        for metric in load_catalog(load_settings(None)).metrics.values()
        if (config := metric.monitor.slices) is not None
    ]
    slices = series // len(metrics)
    zone = ZoneInfo("Europe/Moscow")
    start = _END - (seasonal.LOOKBACK - 1) * SLOT
    counts = random.poisson(60, (seasonal.LOOKBACK, slices)).astype(np.float64)
    wholes = random.poisson(300, (seasonal.LOOKBACK, slices)).astype(np.float64)

    def evaluate_slices(first: int, end: int) -> None:
        for metric, config in metrics:
            trials = wholes[:, first:end] if metric.kind == "share" else None
            evaluate(SlotSeries(start, zone, counts[:, first:end], trials, metric.kind), 1, config)

    def one_by_one() -> None:
        for number in range(_ONE_BY_ONE // len(metrics)):
            evaluate_slices(number, number + 1)

    single = median_seconds(one_by_one) / _ONE_BY_ONE * series
    return Evaluating(series, median_seconds(lambda: evaluate_slices(0, slices)), single)


def checks(events_a_day: int, days: tuple[int, ...], volumes: tuple[int, ...]) -> list[Check]:
    """Check the latest slot with some days behind it, and with some times the volume in the days before it.

    The slot that is checked, and its day, have the same events each time. All events are written before the first check
    is timed, and the checks are timed in turns.
    """
    sizes = [(length, 1) for length in days] + [(days[0], volume) for volume in volumes]
    with empty_clickhouse() as server:
        subjects = [_subject(server.url, number, *size, events_a_day) for number, size in enumerate(sizes)]
        compute: list[list[float]] = [[] for _ in subjects]
        evaluated: list[list[float]] = [[] for _ in subjects]
        read = [0] * len(subjects)
        for turn in range(_TURNS + 1):
            for number, (warehouse, settings) in enumerate(subjects):
                computed, seconds, read[number] = _check(warehouse, settings)
                if turn:  # the first fills caches
                    compute[number].append(computed)
                    evaluated[number].append(seconds)
    return [
        Check(
            events_a_day * length * volume,
            length,
            statistics.median(compute[number]),
            statistics.median(evaluated[number]),
            read[number],
        )
        for number, (length, volume) in enumerate(sizes)
    ]


def _subject(url: str, number: int, days: int, volume: int, events_a_day: int) -> tuple[Warehouse, Settings]:
    """A source with a history, and its slots."""
    today = _END.replace(hour=0)
    start = today - days * _ONE_DAY
    settings = settings_of(url, f"check_{number}", start.date())
    warehouse = create_source(settings)
    write_evenly(warehouse, settings, start, today, events_a_day * days * volume)
    write_evenly(warehouse, settings, today, _END, events_a_day // 2)
    checked = checked_catalog(warehouse, settings)
    for result in compute_slots(warehouse, SlotRange(start + _ONE_DAY, _END), checked, settings):
        if not result.published:
            raise RuntimeError(f"the slots do not add up: {result.violations}")
    return warehouse, settings


def _check(warehouse: Warehouse, settings: Settings) -> tuple[float, float, int]:
    """Seconds to compute, seconds to evaluate, rows read to compute the slots of one check."""
    slots = _slots_of_check(settings)
    checked = checked_catalog(warehouse, settings)
    began = time.perf_counter()
    read = sum(result.read_rows for result in compute_slots(warehouse, slots, checked, settings))
    computed = time.perf_counter()
    list(evaluate_slots(warehouse, slots, checked, settings))
    return computed - began, time.perf_counter() - computed, read


def _slots_of_check(settings: Settings) -> SlotRange:
    last = Slot(_END - SLOT)
    return SlotRange.of(Slot(last.start - settings.recompute_slots * SLOT), last)


def many_series(series: int, times: int = 3) -> ManySeries:
    """Compute and evaluate one slot of a product with many series: every city is a slice of every metric."""
    with empty_clickhouse() as server, _catalog_with_cities(series) as file:
        settings = settings_of(
            server.url,
            "series",
            (_END - 33 * _ONE_DAY).date(),
            catalog=file,
            monitored_dimensions=("city",),
        )
        warehouse = create_source(settings)
        checked = checked_catalog(warehouse, settings)
        cities = series // len(checked.metrics) - 1
        _write_slot(warehouse, settings, SlotRange(_END - SLOT, _END), 20 * cities, cities)
        _write_history(warehouse, settings, checked, cities)
        compute, evaluated, count = alone(_check_usage, server.pid, settings, times)
        warehouse.execute("SYSTEM FLUSH LOGS")
        most = warehouse.value(
            "SELECT max(memory_usage) FROM system.query_log WHERE type = 'QueryFinish' AND "
            "JSONExtractString(log_comment, 'way') = 'check'"
        )
        return ManySeries(count, compute, evaluated, int(most) / 1024 / 1024)


def _write_history(warehouse: Warehouse, settings: Settings, checked: CheckedCatalog, cities: int) -> None:
    """Values of the detectors' whole lookback before the checked slot, a day at a time."""
    create_tables(warehouse, [SLOT_METRICS])
    # A slice stays on the grid as long as its source has had events.
    rows = [(metric.name, metric.definition, int(metric.sql is None)) for metric in checked.metrics.values()]
    rows += [(found.source.events_metric, 0, 0) for found in checked.rows.values()]
    for begin in range(0, seasonal.LOOKBACK, 96):
        parameters = {
            "zone": str(settings.zone),
            "end": f"{_END - (begin + 1) * SLOT:%Y-%m-%d %H:%M:%S}",
            "slots": 96,
            "cities": cities,
            "metrics": [name for name, _, _ in rows],
            "definitions": [definition for _, definition, _ in rows],
            "quotients": [is_quotient for _, _, is_quotient in rows],
        }
        warehouse.execute(read_query("slot_history"), parameters, operation="Making a history")
    # As ClickHouse does itself, once nothing has written a day for two hours.
    warehouse.execute(f"OPTIMIZE TABLE {SLOT_METRICS.name} FINAL", operation="Merging the history")


def _check_usage(engine_pid: int, settings: Settings, times: int) -> tuple[Usage, Usage, int]:
    warehouse = Warehouse.from_settings(settings, tags={"way": "check"})
    checked = checked_catalog(warehouse, settings)
    slots = SlotRange(_END - SLOT, _END)
    compute: list[Usage] = []
    evaluated: list[Usage] = []
    counts: list[int] = []
    for _ in range(times + 1):
        compute.append(measured(engine_pid, lambda: list(compute_slots(warehouse, slots, checked, settings))))
        evaluated.append(
            measured(
                engine_pid,
                lambda: counts.extend(result.series for result in evaluate_slots(warehouse, slots, checked, settings)),
            )
        )
    # The first imports and connects.
    return median_usage(compute[1:]), median_usage(evaluated[1:]), counts[-1]


@contextmanager
def _catalog_with_cities(series: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "catalog.yaml"
        file.write_text(f"dimensions: {{city: {{values: {min(10_000, series)}}}}}\n", encoding="utf-8")
        yield file


def slot_sql(events: int) -> list[SlotSql]:
    """The SQL of a slot of many events beside the statement that it replaced, with both types of text columns."""
    found = []
    with empty_clickhouse() as server:
        for texts in ("LowCardinality(String)", "String"):
            settings = settings_of(server.url, "texts" if texts == "String" else "keys", _END.date())
            warehouse = create_source(settings)
            for name in (settings.feed_table, settings.messages_table):
                table_name = parse_table_name(name)
                for column in _TEXTS if name == settings.feed_table else _TEXTS[1:]:
                    warehouse.execute(f"ALTER TABLE {table_name.sql} MODIFY COLUMN {column} {texts}")
            slots = SlotRange(_END - SLOT, _END)
            _write_slot(warehouse, settings, slots, events, 200)
            found.append(_compare_sql(server.pid, warehouse, settings, slots, events, texts))
    return found


def _compare_sql(  # noqa: PLR0917  (one slot, of one table, by settings)
    engine_pid: int, warehouse: Warehouse, settings: Settings, slots: SlotRange, events: int, texts: str
) -> SlotSql:
    checked = checked_catalog(warehouse, settings)
    create_tables(warehouse, [SLICE_VALUES, SLOT_METRICS])
    whole = median_seconds(lambda: list(compute_slots(warehouse, slots, checked, settings)), 1)
    old, new = [], []
    for turn in range(_TURNS + 1):
        usages = (
            measured(engine_pid, lambda: warehouse.query(read_query("old_slot_metrics"), _old(slots, settings))),
            measured(engine_pid, lambda: _scan(warehouse, slots, checked, settings)),
        )
        if turn:
            old.append(usages[0])
            new.append(usages[1])
    before, now = median_usage(old), median_usage(new)
    return SlotSql(events, texts, before.engine_seconds, before.seconds, now.engine_seconds, now.seconds, whole)


def _scan(warehouse: Warehouse, slots: SlotRange, checked: CheckedCatalog, settings: Settings) -> None:
    """The statements that read the events of a slot."""
    date = slots.start.astimezone(settings.zone).date()
    scope = Scope.of(checked, None, SLOT_METRICS, date, slots.start, slots.end, settings.zone)
    for number, (sql, own) in enumerate(statements(scope)):
        if number < len(scope.rows):
            warehouse.query(sql, {**scope.parameters(), **own})


def _old(slots: SlotRange, settings: Settings) -> dict[str, object]:
    feed, messages = parse_table_name(settings.feed_table), parse_table_name(settings.messages_table)
    return {
        "feed_database": feed.database,
        "feed_table": feed.table,
        "messages_database": messages.database,
        "messages_table": messages.table,
        "first_slot": f"{slots.start:%Y-%m-%d %H:%M:%S}",
        "end_slot": f"{slots.end:%Y-%m-%d %H:%M:%S}",
        "dimensions": ["total", *settings.monitored_dimensions],
    }


def _write_slot(warehouse: Warehouse, settings: Settings, slots: SlotRange, events: int, cities: int) -> None:
    """Actions of many users in some slots, and a message for every fifty of them."""
    parameters = {
        "database": source_database(settings),
        "start": f"{slots.start:%Y-%m-%d %H:%M:%S}",
        "end": f"{slots.end:%Y-%m-%d %H:%M:%S}",
    }
    users = max(1, events // _ACTIONS_A_USER)
    actions = {**parameters, "rows": events, "users": users, "cities": cities}
    warehouse.execute(read_query("slot_events"), actions, operation="Making slot_events")
    warehouse.execute(
        read_query("even_messages"), {**parameters, "rows": events // 50}, operation="Making even_messages"
    )


def summary(evaluated: Evaluating, many: ManySeries, sql: list[SlotSql], checked: list[Check]) -> str:
    """The results in Markdown."""
    first = checked[0]
    rows = [
        [
            f"{check.days} days, {check.events / 1e6:g} M actions",
            f"{check.compute_seconds:.2f} + {check.evaluate_seconds:.2f} s",
            f"{check.seconds / first.seconds:.2f}",
            f"{check.read_rows:,}",
        ]
        for check in checked
    ]
    slots = [
        [
            f"{one.events / 1e6:g} M, {one.texts}",
            f"{one.old_processor:.2f} s ({one.old_seconds:.2f} s)",
            f"{one.new_processor:.2f} s ({one.new_seconds:.2f} s)",
            f"{one.new_processor / one.old_processor:.2f}",
            f"{one.check_seconds:.2f} s",
        ]
        for one in sql
    ]
    return "\n\n".join(
        [
            table(["behind the slot", "computed + evaluated", "÷ the first", "rows read to compute"], rows),
            f"Evaluating {evaluated.series:,} series at once: {evaluated.at_once:.2f} s; one after the other "
            f"{evaluated.one_by_one:.0f} s, {evaluated.one_by_one / evaluated.at_once:.0f} times as long.",
            f"A check of one slot with {many.series:,} series: {many.compute.seconds:.2f} s to compute and "
            f"{many.evaluate.seconds:.2f} s to evaluate, with {many.evaluate.client_seconds:.2f} s of processor time "
            f"in Python. Python grows by {many.evaluate.client_mib:.0f} MiB; the largest query takes "
            f"{many.engine_mib:.0f} MiB.",
            "The SQL that reads the events of one slot, beside the statement that it replaced: processor time of "
            "ClickHouse (wall time).",
            table(["actions, text columns", "old statement", "now", "÷ old", "whole slot now, with its checks"], slots),
        ]
    )
