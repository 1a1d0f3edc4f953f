"""The back-test: how often each detector would have alerted, and which injected faults it would have found.

It reads the history in `slot_metrics`, or makes one up, and changes nothing.
"""

from __future__ import annotations

import datetime
import sys
import textwrap
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from metrics_platform.alerts.policies import POLICIES
from metrics_platform.catalog import Catalog, Metric, load_catalog
from metrics_platform.detection.config import Detector, DetectorConfig
from metrics_platform.detection.evaluate import evaluate, lookback
from metrics_platform.detection.seasonal import LOOKBACK
from metrics_platform.detection.series import SLOTS_A_DAY, SlotSeries
from metrics_platform.detection.siblings import TOTAL
from metrics_platform.monitor.generated import HOLIDAYS, Product, generated_histories
from metrics_platform.monitor.history import SlotHistory, read_history
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, SlotRange, day_of, slot_at
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import tables_are_there
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
    """There is nothing to evaluate; the text says why and what to do."""


@dataclass(frozen=True)
class Fault:
    """A fault: what the values of its slots are multiplied by.

    Attributes:
        factors: one per slot. Of a share and a ratio they change the numerator alone.
        hits_slice: only one slice is hit, and the total by as much.
        is_outage: events are missing, which leaves averages, shares and ratios unknown.
    """

    name: str
    factors: tuple[float, ...]
    hits_slice: bool = False
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


@dataclass(frozen=True)
class Found:
    """How often a fault was found, and after how many slots (the median); None: never."""

    share: float
    delay: float | None
    trials: int


@dataclass(frozen=True)
class Row:
    """One metric, evaluated by one detector.

    Attributes:
        days: the number of evaluated days.
        alerts: the incidents that the total would have opened in them.
        slice_alerts: the incidents of all slices together.
        slice_days: the evaluated days of all slices together.
        found: fault → how it was found. Faults that the metric cannot show are left out.
    """

    metric: str
    detector: Detector
    days: float = 0.0
    alerts: int = 0
    slice_alerts: int = 0
    slice_days: float = 0.0
    found: Mapping[str, Found] = field(default_factory=dict)

    @property
    def alerts_a_day(self) -> float:
        """Alerts of the total per day."""
        return self.alerts / self.days if self.days else 0.0


@dataclass(frozen=True)
class Backtest:
    """Evaluates the last `slots` slots of a history.

    Attributes:
        trials: how often each fault is injected, at random slots.
        holidays: as in METRICS_HOLIDAYS.
    """

    history: SlotHistory
    slots: int
    trials: int = 40
    seed: int = 1
    holidays: Collection[datetime.date] = ()

    def run(self, detector: Detector) -> Row:
        """The metric's configuration decides on everything but the detector."""
        history, monitor = self.history, self.history.metric.monitor
        total, slices = (
            config and config.model_copy(update={"detectors": (detector,)})
            for config in (monitor.total, monitor.slices)
        )
        first = 1 if TOTAL in history.names else 0
        count = len(history.names) - first
        row = Row(history.metric.name, detector)
        if slices is not None:
            alerts = self._incidents(first, len(history.names), slices)
            row = replace(row, slice_alerts=alerts, slice_days=count * self.slots / SLOTS_A_DAY)
        if total is not None and first:
            found = {
                fault.name: self._found(fault, total, slices)
                for fault in FAULTS
                if self.trials
                and len(fault.factors) <= self.slots
                and (history.metric.empty == "zero" or not fault.is_outage)
                and (not fault.hits_slice or (slices is not None and count))
            }
            row = replace(row, days=self.slots / SLOTS_A_DAY, alerts=self._incidents(0, 1, total), found=found)
        return row

    def _incidents(self, first: int, end: int, config: DetectorConfig) -> int:
        """How many incidents the series from `first` to `end` would have opened, by the rules of incidents."""
        count, step = 0, max(1, _CELLS_AT_A_TIME // self.slots)
        for start in range(first, end, step):
            series = self.history.series(start, min(end, start + step))
            # An incident may have begun before.
            evaluated = min(series.length, self.slots + _SAME_INCIDENT)
            anomalous = evaluate(series, evaluated, config, self._holidays).detections.anomalous
            for column in anomalous.T:
                when = np.flatnonzero(column)
                opens = np.diff(when, prepend=-_SAME_INCIDENT - 1) > _SAME_INCIDENT
                count += int((opens & (when >= evaluated - self.slots)).sum())
        return count

    def _found(self, fault: Fault, total: DetectorConfig, slices: DetectorConfig | None) -> Found:
        random = np.random.default_rng(self.seed)
        length = len(fault.factors)
        whole = self.history.series(0, 1)
        part = self._largest_slice() if fault.hits_slice else None
        needed = length + max(lookback(config) for config in (total, slices) if config) - 1
        delays = []
        for end in random.integers(whole.length - self.slots + length, whole.length + 1, self.trials):
            start = max(0, end - needed)
            hit = inject(
                fault, whole.between(start, end), part.between(start, end) if part is not None else None, random
            )
            noticed = np.zeros(length, dtype=bool)
            for series, config in zip(hit, (total, slices), strict=False):
                assert config is not None
                found = evaluate(series, length, config, self._holidays).detections
                # An alert in the other direction is about something else.
                falls = np.abs(found.value) < np.abs(found.expected)
                noticed |= (found.anomalous & (falls == (fault.factors[-1] < 1)))[:, 0]
            delays.append(float(np.argmax(noticed)) if noticed.any() else np.nan)
        known = [delay for delay in delays if not np.isnan(delay)]
        return Found(len(known) / len(delays), float(np.median(known)) if known else None, len(delays))

    def _largest_slice(self) -> SlotSeries:
        """The largest slice of the first dimension."""
        history = self.history
        same = [number for number, (name, _) in enumerate(history.names) if name == history.names[1][0]]
        sizes = history.numerators if history.denominators is None else history.denominators
        largest = max(same, key=lambda number: float(np.nansum(np.abs(sizes[:, number]))))
        return history.series(largest, largest + 1)

    @property
    def _holidays(self) -> list[int]:
        return [(holiday - _EPOCH).days for holiday in self.holidays]


def inject(
    fault: Fault, whole: SlotSeries, part: SlotSeries | None, random: np.random.Generator
) -> tuple[SlotSeries, ...]:
    """The series as they would have been with the fault in their last slots: the total, and the slice that is hit.

    Counts stay counts. A slice's change is carried over to the total, except for gauges and ratios, which need not add
    up.
    """
    if part is None:
        return (_multiplied(whole, fault, random),)
    hit = _multiplied(part, fault, random)
    change = 0.0 if part.is_gauge else np.nan_to_num(hit.values - part.values)
    return replace(whole, values=whole.values + change), hit


def _multiplied(series: SlotSeries, fault: Fault, random: np.random.Generator) -> SlotSeries:
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


def merged(rows: Iterable[Row]) -> list[Row]:
    """Rows of several histories put together, one per metric and detector.

    Delays are the mean of the histories' medians, weighted by how often each found the fault.
    """
    groups: dict[tuple[str, Detector], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.metric, row.detector].append(row)
    return [
        Row(
            metric,
            detector,
            sum(row.days for row in group),
            sum(row.alerts for row in group),
            sum(row.slice_alerts for row in group),
            sum(row.slice_days for row in group),
            {
                fault.name: _together(found)
                for fault in FAULTS
                if (found := [row.found[fault.name] for row in group if fault.name in row.found])
            },
        )
        for (metric, detector), group in groups.items()
    ]


def _together(found: Sequence[Found]) -> Found:
    trials = sum(each.trials for each in found)
    known = [(each.delay, each.share * each.trials) for each in found if each.delay is not None]
    delay = float(np.average([delay for delay, _ in known], weights=[weight for _, weight in known])) if known else None
    return Found(sum(each.share * each.trials for each in found) / trials, delay, trials)


def backtest_history(
    settings: Settings,
    first: datetime.date | None,
    last: datetime.date | None,
    *,
    detectors: Sequence[Detector],
    trials: int,
    names: Sequence[str] = (),
) -> tuple[list[Row], str]:
    """Evaluate the days from `first` to `last` of `slot_metrics`, by default all of them; returns rows and a title.

    Raises:
        BacktestError: a metric of `names` is unknown or not monitored, or has no slots in these days.
        CatalogError: METRICS_CATALOG cannot be read or is not valid.
        WarehouseError: ClickHouse refused, failed or did not answer.
        SchemaMismatchError: the table is there with other columns.
    """
    catalog = load_catalog(settings)
    metrics = _chosen(catalog, names)
    warehouse = Warehouse.from_settings(settings)
    stretches = _stretches(warehouse, metrics, settings, first, last)
    rows: list[Row] = []
    for metric, slots in track(stretches, description="Evaluating", transient=True):
        for history, evaluated, trials_of_piece in _pieces(warehouse, catalog, metric, slots, settings, trials):
            test = Backtest(history, evaluated, trials_of_piece, len(rows), settings.holidays)
            rows += [test.run(detector) for detector in detectors]
    start, end = min(slots.start for _, slots in stretches), max(slots.end for _, slots in stretches)
    return merged(rows), f"{(end - start) // SLOT / SLOTS_A_DAY:.1f} days of slot_metrics, {SlotRange(start, end)}"


def backtest_generated(
    settings: Settings,
    users: float,
    products: int,
    *,
    detectors: Sequence[Detector],
    trials: int,
    names: Sequence[str] = (),
) -> tuple[list[Row], str]:
    """Evaluate GENERATED_DAYS of made-up products with `users` active users in a slot; returns rows and a title.

    Their holidays are known, as those in METRICS_HOLIDAYS are for a real product.

    Raises:
        BacktestError: a metric of `names` is unknown or not monitored.
        CatalogError: METRICS_CATALOG cannot be read or is not valid.
    """
    catalog = load_catalog(settings)
    metrics = _chosen(catalog, names)
    rows: list[Row] = []
    for seed in track(range(1, products + 1), description="Evaluating", transient=True):
        histories = generated_histories(catalog, Product(users, WARM_UP_DAYS + GENERATED_DAYS), seed)
        for metric in metrics:
            test = Backtest(histories[metric.name], GENERATED_DAYS * SLOTS_A_DAY, trials, seed, HOLIDAYS)
            rows += [test.run(detector) for detector in detectors]
    return merged(rows), f"{products} × {GENERATED_DAYS} days of generated traffic, {users:g} active users in a slot"


def _chosen(catalog: Catalog, names: Sequence[str]) -> list[Metric]:
    """The metrics of these names, or all that are monitored."""
    monitored = {name: metric for name, metric in catalog.metrics.items() if metric.monitor.total is not None}
    for name in names:
        if name not in catalog.metrics:
            raise BacktestError(f"Unknown metric {name!r}. Choose from {', '.join(monitored)}.")
        if name not in monitored:
            raise BacktestError(f"{name} is not monitored. Remove `monitor: false` from metrics.{name} first.")
    return [metric for name, metric in monitored.items() if not names or name in names]


def _stretches(
    warehouse: Warehouse,
    metrics: Sequence[Metric],
    settings: Settings,
    first: datetime.date | None,
    last: datetime.date | None,
) -> list[tuple[Metric, SlotRange]]:
    """The slots of each metric in the days from `first` to `last`; metrics without any are left out."""
    rows = []
    if tables_are_there(warehouse, [SLOT_METRICS]):
        rows = warehouse.query(
            "SELECT toString(metric) AS name, min(slot_start) AS start, max(slot_start) AS last "
            "FROM slot_metrics FINAL WHERE has({names:Array(String)}, toString(metric)) AND dimension = 'total' "
            "GROUP BY metric",
            {"names": [metric.name for metric in metrics]},
            doing="Reading which slots there are",
        ).rows
    if not rows:
        raise BacktestError(
            "slot_metrics has no slots of these metrics. Materialise slot_metrics for a few weeks in Dagster, or use "
            "--generated USERS."
        )
    known = {row["name"]: SlotRange.of(slot_at(_utc(row["start"])), slot_at(_utc(row["last"]))) for row in rows}
    found = []
    for metric in metrics:
        if metric.name in known:
            start, end = known[metric.name].start, known[metric.name].end
            start = max(start, day_of(first, settings.zone).start) if first else start
            end = min(end, day_of(last, settings.zone).end) if last else end
            if start < end:
                found.append((metric, SlotRange(start, end)))
    if not found:
        start, end = min(slots.start for slots in known.values()), max(slots.end for slots in known.values())
        raise BacktestError(
            f"slot_metrics has slots in {SlotRange(start, end)}, and none in the days that --from and --to name. "
            "Choose other days."
        )
    return found


def _pieces(  # noqa: PLR0917  (a stretch of a metric, of a table, by settings)
    warehouse: Warehouse, catalog: Catalog, metric: Metric, slots: SlotRange, settings: Settings, trials: int
) -> Iterator[tuple[SlotHistory, int, int]]:
    """The histories that a metric is evaluated by, each with its number of evaluated slots and of trials."""
    bounds = [*range(0, len(slots), _SLOTS_AT_A_TIME), len(slots)]
    source = catalog.sources[metric.source]
    for begin, end in pairwise(bounds):
        piece = SlotRange(slots.start + begin * SLOT, slots.start + end * SLOT)
        share = round(trials * end / len(slots)) - round(trials * begin / len(slots))
        needed = WARM_UP_DAYS * SLOTS_A_DAY + _SAME_INCIDENT
        for history in read_history(warehouse, metric, source, piece, needed, settings):
            yield history, len(piece), share


def _utc(moment: datetime.datetime) -> datetime.datetime:
    return moment.replace(tzinfo=datetime.UTC)


def show(rows: Sequence[Row], title: str, *, markdown: bool, picture: Path | None, echo: Callable[[str], None]) -> None:
    """Print the table, in the terminal's form or in Markdown, and write the picture."""
    if markdown:
        echo(markdown_table(rows))
    else:
        # A file or a pipe has no width: the table takes what it needs.
        Console(width=None if sys.stdout.isatty() else 160).print(_terminal_table(rows, title))
    if picture is not None:
        write_picture(rows, title, picture)
        echo(f"Picture: {picture}")


def headings() -> list[str]:
    """The columns."""
    return ["metric", "detector", "alerts a day", "alerts a day, per slice", *(fault.name for fault in FAULTS)]


def cells(row: Row) -> list[str]:
    """A row's cells; of a fault the share that was found and the median delay in slots."""
    per_slice = f"{row.slice_alerts / row.slice_days:.3f}" if row.slice_days else "–"
    return [
        row.metric,
        row.detector,
        f"{row.alerts_a_day:.3f}",
        per_slice,
        *(_cell(row, fault) or "–" for fault in FAULTS),
    ]


def _cell(row: Row, fault: Fault) -> str:
    found = row.found.get(fault.name)
    if found is None:
        return ""
    return f"{found.share:.0%}" + ("" if found.delay is None else f" · {found.delay:.0f}")


def markdown_table(rows: Sequence[Row]) -> str:
    """The table in Markdown."""
    lines = ["| " + " | ".join(headings()) + " |", "|" + "---|" * 2 + "---:|" * (len(headings()) - 2)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    return "\n".join(lines)


def _terminal_table(rows: Sequence[Row], title: str) -> Table:
    table = Table(title=title, caption="Faults: the share found · the median delay in slots of 15 minutes.")
    for number, heading in enumerate(headings()):
        table.add_column(heading, justify="left" if number < 2 else "right", no_wrap=number < 2)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        table.add_row(*cells(row), end_section=following is None or following.metric != row.metric)
    return table


def write_picture(rows: Sequence[Row], title: str, file: Path) -> None:
    """Write a picture (PNG): alerts a day as bars, the share of faults found as a field of colours."""
    import seaborn  # noqa: PLC0415  (only where a picture is asked for)
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    from metrics_platform.charts.panel import INK, MUTED  # noqa: PLC0415

    top, bottom = 1.5, 0.6  # inches
    height = top + bottom + 0.34 * len(rows)
    figure = Figure(figsize=(13.0, height), dpi=120, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        1, 2, width_ratios=(1, 3.6), wspace=0.03, left=0.17, right=0.985, top=1 - top / height, bottom=bottom / height
    )
    alerts, faults = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    shares = np.array(
        [[row.found[fault.name].share if fault.name in row.found else np.nan for fault in FAULTS] for row in rows]
    )
    seaborn.heatmap(
        shares,
        ax=faults,
        mask=np.isnan(shares),
        annot=np.array([[_cell(row, fault) for fault in FAULTS] for row in rows]),
        fmt="",
        cmap=seaborn.light_palette(str(seaborn.color_palette("colorblind").as_hex()[0]), as_cmap=True),
        vmin=0,
        vmax=1,
        cbar=False,
        linewidths=2,
        yticklabels=False,
        xticklabels=[textwrap.fill(fault.name, 10) for fault in FAULTS],
    )
    faults.xaxis.tick_top()
    faults.tick_params(length=0, labelsize=10)
    faults.set_xlabel("share of faults found · median delay in slots", fontsize=10, color=MUTED)
    counts = [row.alerts_a_day for row in rows]
    alerts.barh(
        np.arange(len(rows)) + 0.5, counts, height=0.7, color=seaborn.color_palette("colorblind")[3], alpha=0.75
    )
    alerts.set_ylim(len(rows), 0)
    alerts.set_yticks(np.arange(len(rows)) + 0.5, [f"{row.metric} · {row.detector}" for row in rows], fontsize=10)
    alerts.set_xlim(0, max([*counts, 0.1]) * 1.3)
    for position, count in enumerate(counts):
        alerts.text(count, position + 0.5, f" {count:.2f}", va="center", fontsize=9, color=INK)
    alerts.set_xticks([])
    alerts.tick_params(length=0)
    alerts.set_xlabel("alerts a day", fontsize=10, color=MUTED)
    seaborn.despine(ax=alerts, left=True, bottom=True)
    figure.suptitle(title, x=0.012, y=1 - 0.28 / height, ha="left", va="center", fontsize=15, color=INK)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
