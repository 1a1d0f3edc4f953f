"""Turn verdicts on metrics into conditions, and find the slices that explain a change of the total."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from metrics_platform.alerts.alert import TOTAL, Alert, Condition, Subject
from metrics_platform.notifications.kinds import Contribution, relative_change
from metrics_platform.time_windows import SLOT, Slot

# How far back a detector looked, by the reason of its verdict.
_LOOKBACKS = {"last_hour": 4 * SLOT, "last_two_hours": 8 * SLOT}
_MAX_SLICES = 3
# A slice explains a change if its share of the change exceeds its share of the total by at least this.
_MIN_SURPLUS = 0.1
_MIN_SHARE = 0.01


class Series(NamedTuple):
    """A metric of the whole product (dimension `total`) or of a slice."""

    metric: str
    dimension: str = TOTAL
    dimension_value: str = TOTAL

    @property
    def is_total(self) -> bool:
        return self.dimension == TOTAL

    @property
    def subject(self) -> Subject:
        return Subject("anomaly", *self)

    @classmethod
    def of(cls, alert: Alert) -> Series:
        return cls(*alert.subject[1:])


@dataclass(frozen=True)
class Verdict:
    """The verdict on one series in one slot, as in the table `verdicts`."""

    series: Series
    status: str
    severity: str = ""
    reason: str = ""
    detector: str = ""
    value: float | None = None
    trials: float | None = None
    expected: float | None = None
    lower: float | None = None
    upper: float | None = None
    score: float | None = None

    @property
    def change(self) -> float | None:
        """The deviation as a share of the expected value. A rate without events has dropped by all of it."""
        if self.reason == "no_data" and not self.value:
            return -1.0
        return relative_change(self.value, self.expected)

    @property
    def direction(self) -> Literal["up", "down"]:
        """Whether the value is above or below the expected one: `up` or `down`."""
        return "up" if (self.value or 0.0) > (self.expected or 0.0) else "down"


def conditions_of(
    slot: Slot, verdicts: Iterable[Verdict], alerts: Iterable[Alert], sources: Mapping[str, str]
) -> Iterator[Condition]:
    """The conditions of a slot. `sources` maps the catalogue's metrics to their sources.

    Alerts of all other metrics are closed, because these metrics are no longer evaluated.
    """
    for alert in alerts:
        if alert.is_open and alert.subject.name not in sources:
            yield Condition(alert.subject, "removed", slot.start)
    for verdict in sorted(verdicts, key=lambda verdict: (not verdict.series.is_total, verdict.series)):
        if verdict.series.metric in sources:
            yield _condition(slot.start, verdict, sources[verdict.series.metric])


def _condition(at: datetime.datetime, verdict: Verdict, source: str) -> Condition:
    subject = verdict.series.subject
    if verdict.status != "anomalous":
        return Condition(subject, "normal" if verdict.status == "normal" else "unknown", at)
    lookback = _LOOKBACKS.get(verdict.reason, SLOT) - SLOT
    return Condition(
        subject,
        "firing",
        at,
        variant=verdict.direction,
        severity="critical" if verdict.severity == "critical" else "warning",
        origin=source,
        change=verdict.change,
        since=at - lookback,
    )


class _Slice(NamedTuple):
    verdict: Verdict
    share_of_change: float
    surplus: float


def contributions_to(total: Verdict, slices: Iterable[Verdict]) -> tuple[Contribution, ...]:
    """The slices that explain the total's deviation, the largest share first; empty if all changed alike."""
    total_deviation, total_expected = _deviation(total), _expected(total)
    if not total_deviation or not total_expected:
        return ()
    by_dimension: dict[str, list[_Slice]] = defaultdict(list)
    for verdict in slices:
        part, expected = _deviation(verdict), _expected(verdict)
        if part is None or not expected or expected / total_expected < _MIN_SHARE:
            continue
        share = part / total_deviation
        by_dimension[verdict.series.dimension].append(_Slice(verdict, share, share - expected / total_expected))
    best = max(by_dimension.values(), key=lambda group: max(part.surplus for part in group), default=[])
    if not best or max(part.surplus for part in best) < _MIN_SURPLUS:
        return ()
    best.sort(key=lambda part: -part.share_of_change)
    return tuple(
        Contribution(
            dimension=part.verdict.series.dimension,
            value=part.verdict.series.dimension_value,
            change=part.verdict.change,
            share_of_change=part.share_of_change if part.share_of_change >= _MIN_SURPLUS else None,
        )
        for part in best[:_MAX_SLICES]
    )


def _deviation(verdict: Verdict) -> float | None:
    """The deviation from the expected value; for a rate, in successes."""
    if verdict.value is None or verdict.expected is None:
        return None
    return (verdict.value - verdict.expected) * (1.0 if verdict.trials is None else verdict.trials)


def _expected(verdict: Verdict) -> float:
    return (verdict.expected or 0.0) * (1.0 if verdict.trials is None else verdict.trials)
