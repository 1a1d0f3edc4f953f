"""Question 3: what does a check of a slot cost, whatever lies in the raw table and however long the history is?

And how long it takes to judge ten thousand series at once, beside one after the other.
"""

from __future__ import annotations

import datetime
import statistics
import time
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from benchmarks.measure import median_seconds, table
from benchmarks.source import create_source, empty_clickhouse, settings_of, write_evenly
from metrics_platform.calendar import SLOT, Slot, SlotRange
from metrics_platform.catalog import SLOT_METRICS
from metrics_platform.detection import seasonal
from metrics_platform.detection.judge import judge
from metrics_platform.detection.series import Floats, SlotSeries
from metrics_platform.monitor.verdicts import judge_slots
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.slots import compute_slots

_END = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
_ONE_BY_ONE = 60  # series, of which the time of all is reckoned
_ONE_DAY = datetime.timedelta(days=1)
_TURNS = 5


@dataclass(frozen=True)
class Judging:
    """So many series in one slot: seconds at once, and as reckoned from some that were judged one after the other."""

    series: int
    at_once: float
    one_by_one: float


@dataclass(frozen=True)
class Check:
    """A check of the latest slot: seconds to compute and to judge it; how many rows ClickHouse read to compute it."""

    events: int
    days: int
    compute_seconds: float
    judge_seconds: float
    read_rows: int

    @property
    def seconds(self) -> float:
        return self.compute_seconds + self.judge_seconds


def judging(series: int) -> Judging:
    """Judge so many made-up series of 29 days with the default detectors."""
    random = np.random.default_rng(1)
    lanes = series // len(SLOT_METRICS)
    zone = ZoneInfo("Europe/Moscow")
    start = _END - (seasonal.REACH - 1) * SLOT
    counts = random.poisson(60, (seasonal.REACH, lanes)).astype(np.float64)
    views = random.poisson(300, (seasonal.REACH, lanes)).astype(np.float64)

    def judge_lanes(first: int, end: int) -> None:
        for metric in SLOT_METRICS:
            trials: Floats | None = views[:, first:end] if metric.denominator else None
            judge(SlotSeries(start, zone, counts[:, first:end], trials), 1, metric.monitoring.slices)

    def one_by_one() -> None:
        for lane in range(_ONE_BY_ONE // len(SLOT_METRICS)):
            judge_lanes(lane, lane + 1)

    alone = median_seconds(one_by_one) / _ONE_BY_ONE * series
    return Judging(series, median_seconds(lambda: judge_lanes(0, lanes)), alone)


def checks(events_a_day: int, days: tuple[int, ...], volumes: tuple[int, ...]) -> list[Check]:
    """Check the latest slot with so many days behind it, and with so many times the volume in the days before it.

    The slot that is checked, and its day, have the same events each time. All of them lie there before the first is
    timed, and they are timed in turns.
    """
    sizes = [(each, 1) for each in days] + [(days[0], each) for each in volumes]
    with empty_clickhouse() as server:
        subjects = [_subject(server.url, number, *size, events_a_day) for number, size in enumerate(sizes)]
        compute: list[list[float]] = [[] for _ in subjects]
        judge_them: list[list[float]] = [[] for _ in subjects]
        read = [0] * len(subjects)
        for turn in range(_TURNS + 1):
            for number, (warehouse, settings) in enumerate(subjects):
                computed, judged, read[number] = _check(warehouse, settings)
                if turn:  # the first fills caches
                    compute[number].append(computed)
                    judge_them[number].append(judged)
    return [
        Check(
            events_a_day * length * volume,
            length,
            statistics.median(compute[number]),
            statistics.median(judge_them[number]),
            read[number],
        )
        for number, (length, volume) in enumerate(sizes)
    ]


def _subject(url: str, number: int, days: int, volume: int, events_a_day: int) -> tuple[Warehouse, Settings]:
    """A source with a history, and its rollup."""
    today = _END.replace(hour=0)
    start = today - days * _ONE_DAY
    settings = settings_of(url, f"check_{number}", start.date())
    warehouse = create_source(settings)
    write_evenly(warehouse, settings, start, today, events_a_day * days * volume)
    write_evenly(warehouse, settings, today, _END, events_a_day // 2)
    for result in compute_slots(warehouse, SlotRange(start + _ONE_DAY, _END), settings):
        if not result.published:
            raise RuntimeError(f"the rollup does not add up: {result.violations}")
    return warehouse, settings


def _check(warehouse: Warehouse, settings: Settings) -> tuple[float, float, int]:
    """Seconds to compute, seconds to judge, rows read to compute the slots of one check."""
    last = Slot(_END - SLOT)
    slots = SlotRange.of(Slot(last.start - settings.recompute_slots * SLOT), last)
    monitoring = {metric.name: metric.monitoring for metric in SLOT_METRICS}
    began = time.perf_counter()
    read = sum(result.read_rows for result in compute_slots(warehouse, slots, settings))
    computed = time.perf_counter()
    list(judge_slots(warehouse, slots, settings, monitoring))
    return computed - began, time.perf_counter() - computed, read


def told(judged: Judging, checked: list[Check]) -> str:
    """The results in Markdown."""
    first = checked[0]
    rows = [
        [
            f"{each.days} days, {each.events / 1e6:g} M actions",
            f"{each.compute_seconds:.2f} + {each.judge_seconds:.2f} s",
            f"{each.seconds / first.seconds:.2f}",
            f"{each.read_rows:,}",
        ]
        for each in checked
    ]
    return "\n\n".join(
        [
            table(["behind the slot", "computed + judged", "÷ the first", "rows read to compute"], rows),
            f"Judging {judged.series:,} series at once: {judged.at_once:.2f} s; one after the other "
            f"{judged.one_by_one:.0f} s, {judged.one_by_one / judged.at_once:.0f} times as long.",
        ]
    )
