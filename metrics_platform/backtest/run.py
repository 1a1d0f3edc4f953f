"""The back-test: how often each detector would have alerted, and which faults it would have found, and when."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from metrics_platform.backtest.faults import FAULTS, Fault, inject
from metrics_platform.calendar import SLOT
from metrics_platform.catalog import SLOT_METRICS, SlotMetric
from metrics_platform.detection.config import DETECTORS, Detector, Judging, MetricMonitoring
from metrics_platform.detection.judge import judge, reach
from metrics_platform.detection.series import SLOTS_A_DAY, Floats, SlotSeries
from metrics_platform.incidents.machine import Rules
from metrics_platform.monitor.history import SlotHistory

_EPOCH = datetime.date(1970, 1, 1)


@dataclass(frozen=True)
class Found:
    """How a fault was found: in which share of the trials, and after how many slots (the median); None: never."""

    share: float
    delay: float | None
    trials: int


@dataclass(frozen=True)
class Row:
    """One metric judged by one detector.

    Attributes:
        days: how many days were judged.
        alerts: how many incidents the whole product's series would have opened in them.
        slice_alerts: the same for all slices together; slices: how many of them there are.
        found: fault → how it was found; faults that do not touch the metric are left out.
    """

    metric: str
    detector: Detector
    days: float
    alerts: int
    slice_alerts: int
    slices: int
    found: Mapping[str, Found] = field(default_factory=dict)

    @property
    def alerts_a_day(self) -> float:
        """Alerts of the whole product's series per day."""
        return self.alerts / self.days


@dataclass(frozen=True)
class Backtest:
    """What is tried, on the last `slots` slots of `history`.

    Attributes:
        monitoring: how each metric is judged; of which detectors, is what is tried.
        trials: how often each fault is put somewhere.
        holidays: as in METRICS_HOLIDAYS.
    """

    history: SlotHistory
    slots: int
    monitoring: Mapping[str, MetricMonitoring]
    detectors: Sequence[Detector] = DETECTORS
    trials: int = 40
    seed: int = 1
    holidays: Sequence[datetime.date] = ()

    def run(self) -> Iterator[Row]:
        """One row per metric and detector, each as soon as it is done."""
        for metric in SLOT_METRICS:
            for detector in self.detectors:
                yield self._row(metric, detector)

    def _row(self, metric: SlotMetric, detector: Detector) -> Row:
        how = self.monitoring[metric.name]
        total, slices = (each.model_copy(update={"detectors": (detector,)}) for each in (how.total, how.slices))
        lanes = len(self.history.names)
        alerts = self._openings(self.history.series(metric, 0, 1), total)
        slice_alerts = self._openings(self.history.series(metric, 1, lanes), slices) if lanes > 1 else 0
        found = {
            fault.name: self._found(metric, fault, total, slices)
            for fault in FAULTS
            if _touches(fault, metric) and (fault.hits != "slice" or lanes > 1)
        }
        return Row(metric.name, detector, self.slots / SLOTS_A_DAY, alerts, slice_alerts, lanes - 1, found)

    def _openings(self, series: SlotSeries, judging: Judging) -> int:
        """How many incidents the last slots would have opened, by the rules of incidents."""
        anomalous = judge(series, self.slots, judging, self._holidays).judgements.anomalous
        apart = int(Rules().reopened_within / SLOT) + 1
        count = 0
        for lane in range(anomalous.shape[1]):
            when = np.flatnonzero(anomalous[:, lane])
            count += len(when[:1]) + int((np.diff(when) > apart).sum())
        return count

    def _found(self, metric: SlotMetric, fault: Fault, total: Judging, slices: Judging) -> Found:
        random = np.random.default_rng(self.seed)
        length = len(fault.factors)
        first = len(self.history.columns["views"]) - self.slots
        delays = []
        for end in random.integers(first + length, first + self.slots + 1, self.trials):
            start = max(0, end - length - max(reach(total), reach(slices)) + 1)
            series = self._hit(metric, fault, range(start, end), random)
            lanes = [(series.lane(0), total)] + ([(series.lane(1), slices)] if fault.hits == "slice" else [])
            noticed = np.zeros(length, dtype=bool)
            for lane, judging in lanes:
                found = judge(lane, length, judging, self._holidays).judgements
                right = found.value < found.expected if fault.factors[-1] < 1 else found.value > found.expected
                noticed |= (found.anomalous & right)[:, 0]
            delays.append(float(np.argmax(noticed)) if noticed.any() else np.nan)
        known = [each for each in delays if not np.isnan(each)]
        return Found(len(known) / len(delays), float(np.median(known)) if known else None, len(delays))

    def _hit(self, metric: SlotMetric, fault: Fault, slots: range, random: np.random.Generator) -> SlotSeries:
        """The metric's history in `slots`, the last of them with the fault: the total, and the slice that is hit."""
        lanes = [0, self._largest_slice] if fault.hits == "slice" else [0]

        def part(column: str, *, hit: bool) -> Floats:
            values = self.history.columns[column][slots.start : slots.stop, lanes]
            return inject(values, fault, random) if hit else values

        start = self.history.start + slots.start * SLOT
        values = part(metric.numerator, hit=True)
        if metric.denominator is None:
            return SlotSeries(start, self.history.zone, values)
        trials = part(metric.denominator, hit=fault.hits != "likes")
        return SlotSeries(start, self.history.zone, np.minimum(values, trials), trials)

    @property
    def _largest_slice(self) -> int:
        """The slice of the first dimension that has the most views."""
        dimension = self.history.names[1][0]
        views = np.nansum(self.history.columns["views"], axis=0)
        return max(
            (lane for lane, (name, _) in enumerate(self.history.names) if name == dimension),
            key=lambda each: views[each],
        )

    @property
    def _holidays(self) -> list[int]:
        return [(each - _EPOCH).days for each in self.holidays]


def _touches(fault: Fault, metric: SlotMetric) -> bool:
    """A rate does not see that both of its sides fall alike; likes alone touch likes and the CTR."""
    if fault.hits == "likes":
        return metric.numerator == "likes"
    return metric.denominator is None
