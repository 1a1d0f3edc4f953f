"""The back-test: how often each detector would have alerted, and which injected faults it would have found.

It reads the history in `slot_metrics`, or generates one, and changes nothing.
"""

from __future__ import annotations

import datetime
import sys
import textwrap
import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from metrics_platform.alerts.policies import POLICIES
from metrics_platform.catalog import Catalog, Metric, load_catalog
from metrics_platform.detection.config import Detector, DetectorConfig
from metrics_platform.detection.evaluate import TOTAL, evaluate, lookback
from metrics_platform.detection.seasonal import LOOKBACK
from metrics_platform.detection.series import SLOTS_A_DAY, Floats, SlotSeries
from metrics_platform.monitor.verdicts import HistoryReader, SlotHistory
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, SlotRange
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import tables_exist
from metrics_platform.warehouse.tables import SLOT_METRICS

# Days before the first evaluated one, so that its baseline is complete.
WARM_UP_DAYS = -(-LOOKBACK // SLOTS_A_DAY)
GENERATED_DAYS = 60
# Anomalies this many slots apart, or fewer, belong to one incident.
_SAME_INCIDENT = int(POLICIES["anomaly", ""].reopens_within / SLOT) + 1
# Evaluated at a time, so that memory stays bounded: slots of a history, and slots times series.
_SLOTS_AT_A_TIME = 60 * SLOTS_A_DAY
_CELLS_AT_A_TIME = 1_000_000
_EPOCH = datetime.date(1970, 1, 1)


class BacktestError(RuntimeError):
    """Nothing can be evaluated. The text says why, and what to do."""


class Fault(NamedTuple):
    """A fault: it multiplies the values of its slots by factors."""

    name: str
    # One per slot. For a share or a ratio, they only change the numerator.
    factors: tuple[float, ...]
    # The fault hits only one slice, and the total by as much.
    hits_slice: bool = False
    # Events are missing, so averages, shares and ratios are unknown.
    is_outage: bool = False


FAULTS = (
    Fault("outage 15 min", (0.02,), is_outage=True),
    Fault("outage 1 h", (0.02,) * 4, is_outage=True),
    Fault("no data 1 h", (0.0,) * 4, is_outage=True),
    Fault("−30 % 3 h", (0.7,) * 12),
    Fault("+60 % 15 min", (1.6,)),
    Fault("leak to −50 % 6 h", tuple(1 - 0.5 * (step + 1) / 24 for step in range(24))),
    Fault("÷2 2 h", (0.5,) * 8),
    Fault("one slice −80 % 2 h", (0.2,) * 8, hits_slice=True),
)
HEADINGS = ("metric", "detector", "alerts a day", "alerts a day, per slice", *(fault.name for fault in FAULTS))


@dataclass
class Row:
    """The results of one metric and one detector, summed over its histories."""

    metric: str
    detector: Detector
    # The number of evaluated days, and the incidents that the total would have opened in them.
    days: float = 0.0
    alerts: int = 0
    # The same of all slices together.
    slice_alerts: int = 0
    slice_days: float = 0.0
    # Fault → the delay of each trial in slots; NaN: not found. Faults that the metric cannot show are left out.
    delays: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def alerts_a_day(self) -> float:
        return self.alerts / self.days if self.days else 0.0

    def share(self, fault: Fault) -> float:
        """The share of the trials that found a fault; NaN without trials."""
        delays = self.delays.get(fault.name)
        return float(np.mean(~np.isnan(delays))) if delays else np.nan

    def cell(self, fault: Fault) -> str:
        """The share of the trials that found a fault, and the median delay in slots; empty without trials."""
        share = self.share(fault)
        if np.isnan(share):
            return ""
        return f"{share:.0%}" + (f" · {np.nanmedian(self.delays[fault.name]):.0f}" if share else "")

    def add(
        self, history: SlotHistory, slots: int, trials: int, seed: int = 1, holidays: Collection[datetime.date] = ()
    ) -> Row:
        """Add the last `slots` slots of a history, with `trials` of each fault at random slots.

        Everything except the detector comes from the metric's configuration. `holidays` are as in METRICS_HOLIDAYS.
        """
        test = _Test(history, slots, [(holiday - _EPOCH).days for holiday in holidays])
        monitor = history.metric.monitor
        total, slices = (
            config and config.model_copy(update={"detectors": (self.detector,)})
            for config in (monitor.total, monitor.slices)
        )
        first = 1 if TOTAL in history.names else 0
        count = len(history.names) - first
        if slices is not None:
            self.slice_alerts += test.incidents(first, len(history.names), slices)
            self.slice_days += count * slots / SLOTS_A_DAY
        if total is not None and first:
            self.days += slots / SLOTS_A_DAY
            self.alerts += test.incidents(0, 1, total)
            for fault in FAULTS:
                is_shown = history.metric.empty == "zero" or not fault.is_outage
                has_slice = not fault.hits_slice or (slices is not None and count)
                if is_shown and has_slice and len(fault.factors) <= slots:
                    random, part = np.random.default_rng(seed), test.largest_slice() if fault.hits_slice else None
                    self.delays[fault.name] += [test.delay(fault, part, total, slices, random) for _ in range(trials)]
        return self


class _Test(NamedTuple):
    """The last `slots` slots of a history; `holidays` are days since 1970."""

    history: SlotHistory
    slots: int
    holidays: list[int]

    def incidents(self, first: int, end: int, config: DetectorConfig) -> int:
        """How many incidents the series from `first` to `end` would have opened."""
        count, step = 0, max(1, _CELLS_AT_A_TIME // self.slots)
        for start in range(first, end, step):
            series = self.history.series(start, min(end, start + step))
            # An incident may have begun before.
            evaluated = min(series.length, self.slots + _SAME_INCIDENT)
            anomalous = evaluate(series, evaluated, config, self.holidays).detections.anomalous
            for column in anomalous.T:
                positions = np.flatnonzero(column)
                opens = np.diff(positions, prepend=-_SAME_INCIDENT - 1) > _SAME_INCIDENT
                count += int((opens & (positions >= evaluated - self.slots)).sum())
        return count

    def delay(
        self,
        fault: Fault,
        part: SlotSeries | None,
        total: DetectorConfig,
        slices: DetectorConfig | None,
        random: np.random.Generator,
    ) -> float:
        """The delay until a fault at random slots is found, in slots; NaN: never."""
        length = len(fault.factors)
        total_series = self.history.series(0, 1)
        end = int(random.integers(total_series.length - self.slots + length, total_series.length + 1))
        start = max(0, end - length + 1 - max(lookback(config) for config in (total, slices) if config))
        affected = inject(fault, total_series.between(start, end), part and part.between(start, end), random)
        detected = np.zeros(length, dtype=bool)
        for series, config in zip(affected, (total, slices), strict=False):
            assert config is not None
            detections = evaluate(series, length, config, self.holidays).detections
            # An alert in the other direction does not count.
            falls = np.abs(detections.value) < np.abs(detections.expected)
            detected |= (detections.anomalous & (falls == (fault.factors[-1] < 1)))[:, 0]
        return float(np.argmax(detected)) if detected.any() else np.nan

    def largest_slice(self) -> SlotSeries:
        history = self.history
        same_dimension = [number for number, (name, _) in enumerate(history.names) if name == history.names[1][0]]
        sizes = history.numerators if history.denominators is None else history.denominators
        largest = max(same_dimension, key=lambda number: float(np.nansum(np.abs(sizes[:, number]))))
        return history.series(largest, largest + 1)


def inject(
    fault: Fault, total: SlotSeries, part: SlotSeries | None, random: np.random.Generator
) -> tuple[SlotSeries, ...]:
    """The series with the fault in their last slots: the total, and the affected slice if there is one.

    Counts stay counts. A slice's change is added to the total, except for gauges and ratios, which need not add up.
    """
    if part is None:
        return (_apply_fault(total, fault, random),)
    affected = _apply_fault(part, fault, random)
    change = 0.0 if part.is_gauge else np.nan_to_num(affected.values - part.values)
    return replace(total, values=total.values + change), affected


def _apply_fault(series: SlotSeries, fault: Fault, random: np.random.Generator) -> SlotSeries:
    values = series.values.copy()
    for value, factor in zip(values[-len(fault.factors) :], fault.factors, strict=True):
        before = value[0]
        if series.is_gauge or np.isnan(before):
            value[0] = before * factor
        elif factor <= 1:
            value[0] = random.binomial(int(before), factor)
        else:
            value[0] = before + random.poisson((factor - 1) * before)
    return replace(series, values=values if series.trials is None else np.minimum(values, series.trials))


def backtest_history(
    settings: Settings,
    first: datetime.date | None,
    last: datetime.date | None,
    *,
    detectors: Sequence[Detector],
    trials: int,
    names: Sequence[str] = (),
) -> tuple[list[Row], str]:
    """Evaluate the days from `first` to `last` of `slot_metrics`, by default all. Returns rows and a title.

    Raises BacktestError if a metric of `names` is unknown or not monitored, or has no slots in these days. Raises
    CatalogError, WarehouseError or SchemaMismatchError if the catalogue, ClickHouse or the table cannot be read.
    """
    catalog = load_catalog(settings)
    metrics = _select_metrics(catalog, names)
    warehouse = Warehouse.from_settings(settings)
    slot_ranges = _slot_ranges(warehouse, metrics, first, last)
    rows: list[Row] = []
    for metric, slots in track(slot_ranges, description="Evaluating", transient=True):
        metric_rows = [Row(metric.name, detector) for detector in detectors]
        for begin, end in pairwise([*range(0, len(slots), _SLOTS_AT_A_TIME), len(slots)]):
            chunk = SlotRange(slots.start + begin * SLOT, slots.start + end * SLOT)
            share = round(trials * end / len(slots)) - round(trials * begin / len(slots))
            reader = HistoryReader(warehouse, chunk, settings)
            needed = WARM_UP_DAYS * SLOTS_A_DAY + _SAME_INCIDENT
            for history in reader.read(metric, catalog.sources[metric.source], needed):
                for row in metric_rows:
                    row.add(history, len(chunk), share, len(rows), settings.holidays)
        rows += metric_rows
    all_slots = SlotRange(min(slots.start for _, slots in slot_ranges), max(slots.end for _, slots in slot_ranges))
    return rows, f"{len(all_slots) / SLOTS_A_DAY:.1f} days of slot_metrics, {all_slots}"


def backtest_generated(
    settings: Settings,
    users: float,
    products: int,
    *,
    detectors: Sequence[Detector],
    trials: int,
    names: Sequence[str] = (),
) -> tuple[list[Row], str]:
    """Evaluate GENERATED_DAYS of generated products with `users` active users in a slot. Returns rows and a title.

    Their holidays are known, like those in METRICS_HOLIDAYS. Raises BacktestError and CatalogError as above.
    """
    catalog = load_catalog(settings)
    rows = [Row(metric.name, detector) for metric in _select_metrics(catalog, names) for detector in detectors]
    for seed in track(range(1, products + 1), description="Evaluating", transient=True):
        histories = generated_histories(catalog, Product(users, WARM_UP_DAYS + GENERATED_DAYS), seed)
        for row in rows:
            row.add(histories[row.metric], GENERATED_DAYS * SLOTS_A_DAY, trials, seed, HOLIDAYS)
    return rows, f"{products} × {GENERATED_DAYS} days of generated traffic, {users:g} active users in a slot"


def _select_metrics(catalog: Catalog, names: Sequence[str]) -> list[Metric]:
    monitored = {name: metric for name, metric in catalog.metrics.items() if metric.monitor.total is not None}
    for name in names:
        if name not in catalog.metrics:
            raise BacktestError(f"Unknown metric {name!r}. Choose from {', '.join(monitored)}.")
        if name not in monitored:
            raise BacktestError(f"{name} is not monitored. Remove `monitor: false` from metrics.{name} first.")
    return [metric for name, metric in monitored.items() if not names or name in names]


def _slot_ranges(
    warehouse: Warehouse, metrics: Sequence[Metric], first: datetime.date | None, last: datetime.date | None
) -> list[tuple[Metric, SlotRange]]:
    """The slots of each metric in the days from `first` to `last`; metrics without any are left out."""
    rows = []
    if tables_exist(warehouse, [SLOT_METRICS]):
        rows = warehouse.query(
            "SELECT toString(metric) AS name, min(slot_start) AS start, max(slot_start) AS last "
            "FROM slot_metrics FINAL WHERE has({names:Array(String)}, toString(metric)) AND dimension = 'total' "
            "AND event_date BETWEEN {first:Date} AND {last:Date} GROUP BY metric",
            {
                "names": [metric.name for metric in metrics],
                "first": first or _EPOCH,
                "last": last or datetime.date(2149, 1, 1),
            },
            operation="Reading the range of slots",
        ).rows
    if not rows:
        days = f" in the days from {first or 'the first'} to {last or 'the last'}" if first or last else ""
        raise BacktestError(
            f"slot_metrics has no slots of these metrics{days}. Materialise slot_metrics for a few weeks in Dagster, "
            "choose other days, or use --generated USERS."
        )
    utc = datetime.UTC
    by_name = {
        row["name"]: SlotRange(row["start"].replace(tzinfo=utc), row["last"].replace(tzinfo=utc) + SLOT) for row in rows
    }
    return [(metric, by_name[metric.name]) for metric in metrics if metric.name in by_name]


def show(rows: Sequence[Row], title: str, *, markdown: bool, picture: Path | None, echo: Callable[[str], None]) -> None:
    """Print the table for the terminal or in Markdown, and write the picture."""
    # A file or a pipe has no width, so the table is as wide as necessary.
    console = Console(width=None if sys.stdout.isatty() and not markdown else 200)
    with console.capture() as printed:
        console.print(_table(rows, title, markdown=markdown))
    echo(printed.get().strip("\n " if markdown else "\n"))
    if picture is not None:
        write_picture(rows, title, picture)
        echo(f"Picture: {picture}")


def _table(rows: Sequence[Row], title: str, *, markdown: bool) -> Table:
    table = Table(title=title, caption="Faults: the share found · the median delay in slots of 15 minutes.")
    if markdown:
        table = Table(box=box.MARKDOWN)
    for number, heading in enumerate(HEADINGS):
        is_name = number < 2
        table.add_column(heading, justify="left" if is_name else "right", no_wrap=is_name or markdown)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        per_slice = f"{row.slice_alerts / row.slice_days:.3f}" if row.slice_days else "–"
        faults = [row.cell(fault) or "–" for fault in FAULTS]
        is_last = not markdown and (following is None or following.metric != row.metric)
        table.add_row(row.metric, row.detector, f"{row.alerts_a_day:.3f}", per_slice, *faults, end_section=is_last)
    return table


def write_picture(rows: Sequence[Row], title: str, file: Path) -> None:
    """Write a picture (PNG): a heat map of the share of faults found, with the alerts a day."""
    import seaborn  # noqa: PLC0415  (only where a picture is asked for)
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(13.0, 2.1 + 0.34 * len(rows)), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    shares = np.array([[row.share(fault) for fault in FAULTS] for row in rows])
    seaborn.heatmap(
        shares,
        ax=axes,
        mask=np.isnan(shares),
        annot=np.array([[row.cell(fault) for fault in FAULTS] for row in rows]),
        fmt="",
        cmap=seaborn.light_palette(str(seaborn.color_palette("colorblind").as_hex()[0]), as_cmap=True),
        vmin=0,
        vmax=1,
        cbar=False,
        linewidths=2,
        xticklabels=[textwrap.fill(fault.name, 10) for fault in FAULTS],
        yticklabels=[f"{row.metric} · {row.detector} · {row.alerts_a_day:.2f} alerts a day" for row in rows],
    )
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=10)
    axes.set_xlabel("share of faults found · median delay in slots")
    axes.set_title(title, fontsize=15, loc="left")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


# --- generated histories ----------------------------------------------------------------------------------------------

# Relative activity by local hour of a working day and of a weekend, 00 to 23: steep mornings, evenings the highest.
WORKDAY = (18, 10, 6, 4, 3, 4, 9, 20, 33, 36, 34, 35, 40, 41, 37, 36, 38, 43, 50, 57, 62, 60, 48, 32)
WEEKEND = (28, 18, 11, 7, 5, 4, 6, 11, 20, 31, 40, 46, 50, 52, 50, 49, 50, 52, 55, 60, 63, 60, 50, 38)
# On these days a fifth of the users are inactive.
HOLIDAYS = (datetime.date(2026, 4, 3), datetime.date(2026, 4, 6))
NAMES = (TOTAL, ("slice", "larger"), ("slice", "smaller"))
_BERLIN = ZoneInfo("Europe/Berlin")
_LARGER = 0.62  # the larger slice's share
_NUMERATOR_SHARE = 0.2  # of a share: its usual value
# The noise of days, hours and slots.
_DAY_NOISE, _HOUR_NOISE, _SLOT_NOISE = 0.03, 0.03, 0.02
# A metric's minimum volume is taken as the actions of ten independent users.
_USERS_OF_MINIMUM = 10


@dataclass(frozen=True)
class Product:
    """A generated product with realistic noise.

    It has daily and weekly patterns, growth, holidays, noise of whole days and hours, and counts that scatter more than
    Poisson counts: users come in sessions with many actions each.
    """

    # Active users in an average slot of a working day.
    users: float
    days: int
    # The first slot, in UTC. The default history has a clock change in it.
    start: datetime.datetime = datetime.datetime(2026, 1, 25, 23, tzinfo=datetime.UTC)
    zone: ZoneInfo = _BERLIN
    holidays: Sequence[datetime.date] = HOLIDAYS
    # The growth in a week, as a share.
    weekly_growth: float = 0.01

    def activity(self, random: np.random.Generator) -> Floats:
        """The expected number of active users in each slot, [slots]."""
        slots = self.days * SLOTS_A_DAY
        day = np.repeat(_autocorrelated(random, self.days, 0.5), SLOTS_A_DAY) * _DAY_NOISE
        hour = _autocorrelated(random, slots, 0.93) * _HOUR_NOISE
        slot = random.standard_normal(slots) * _SLOT_NOISE
        growth = (1 + self.weekly_growth) ** (np.arange(slots) / (7 * SLOTS_A_DAY))
        return np.asarray(self._daily_curve() * growth * np.exp(day + hour + slot) * self.users)

    def _daily_curve(self) -> Floats:
        """The expected activity of each slot, relative to the average of a working day."""
        local = pd.date_range(self.start, periods=self.days * SLOTS_A_DAY, freq=SLOT).tz_convert(self.zone)
        clock = (local.hour + local.minute / 60 + 0.125).to_numpy()
        hours = np.arange(25) + 0.5
        workday, weekend = (np.interp(clock, hours, [*curve, curve[0]]) for curve in (WORKDAY, WEEKEND))
        weekday = local.day_of_week.to_numpy()
        activity = np.where(weekday >= 5, 0.92 * weekend, workday) / np.mean(WORKDAY)
        activity *= np.array([1.0, 1.01, 1.02, 1.0, 0.97, 1.0, 1.03])[weekday]
        is_holiday = np.isin(local.date, np.array(self.holidays, dtype=object))
        return np.asarray(np.where(is_holiday, activity * 0.78, activity))


def generated_histories(catalog: Catalog, product: Product, seed: int) -> dict[str, SlotHistory]:
    """The history of every metric: the total and two slices. The same seed gives the same numbers."""
    # The numerator of a share is a part of its denominator.
    denominators = {
        str(metric.numerator): str(metric.denominator) for metric in catalog.metrics.values() if metric.kind == "share"
    }
    aggregates: dict[str, Floats] = {}

    def values_of(name: str) -> Floats:
        if name not in aggregates:
            random = np.random.default_rng([seed, zlib.crc32(name.encode())])
            # Two metrics that are shares of each other end there.
            denominator = denominators.pop(name, None)
            if denominator is None:
                aggregates[name] = _values(catalog.metrics[name], product, random)
            else:
                aggregates[name] = _generate_numerator(values_of(denominator), random)
        return aggregates[name]

    def history(metric: Metric) -> SlotHistory:
        numerators = values_of(metric.numerator or metric.name)
        denominators_of_metric = values_of(metric.denominator) if metric.denominator else None
        return SlotHistory(metric, product.start, product.zone, NAMES, numerators, denominators_of_metric)

    return {name: history(metric) for name, metric in catalog.metrics.items()}


def _values(metric: Metric, product: Product, random: np.random.Generator) -> Floats:
    activity = product.activity(random)
    if metric.kind == "gauge":
        total = activity * np.exp(0.05 * random.standard_normal(activity.shape))
        larger = total * np.clip(_LARGER + 0.02 * random.standard_normal(total.shape), 0, 1)
        return np.stack([total, larger, total - larger], axis=1)
    count = random.poisson(activity)
    actions = (metric.monitor.total.minimum_volume if metric.monitor.total else 0) / _USERS_OF_MINIMUM
    if actions > 1:
        # The actions of a user have a geometric distribution, so their sum over users has a Gamma intensity.
        count = random.poisson(np.where(count > 0, random.gamma(np.maximum(count, 1e-9)), 0.0) * actions)
    part = random.binomial(count, _LARGER)
    return np.stack([count, part, count - part], axis=1).astype(np.float64)


def _generate_numerator(denominators: Floats, random: np.random.Generator) -> Floats:
    """A numerator with a drifting share of its denominator, such as the views that are followed by a like."""
    slices = denominators[:, 1:]
    drift = 0.015 * _autocorrelated(random, len(denominators), 0.98) + 0.01 * random.standard_normal(len(denominators))
    # Users differ, so the noise is as if only a third of the values were independent.
    independent = np.maximum(slices / 3, 1)
    share = random.beta(independent * _NUMERATOR_SHARE, independent * (1 - _NUMERATOR_SHARE)) * np.exp(drift)[:, None]
    parts = random.binomial(slices.astype(np.int64), np.clip(share, 0, 1)).astype(np.float64)
    return np.concatenate([parts.sum(axis=1, keepdims=True), parts], axis=1)


def _autocorrelated(random: np.random.Generator, count: int, memory: float) -> Floats:
    """Standard normal numbers, each with `memory` of the one before."""
    steps = random.standard_normal(count)
    for row in range(1, count):
        steps[row] = memory * steps[row - 1] + np.sqrt(1 - memory**2) * steps[row]
    return steps
