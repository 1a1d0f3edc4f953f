"""Verdicts on metrics, as conditions."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from metrics_platform.alerts.alert import TOTAL, Alert, Condition, Subject
from metrics_platform.time_windows import SLOT, Slot

# How far a detector has looked back for its answer, by its reason.
_LOOKED_BACK = {"last_hour": 4 * SLOT, "last_two_hours": 8 * SLOT}


class Series(NamedTuple):
    """A metric of the whole product (dimension `total`) or of a slice."""

    metric: str
    dimension: str = TOTAL
    dimension_value: str = TOTAL

    @property
    def is_total(self) -> bool:
        """Whether it is the whole product."""
        return self.dimension == TOTAL

    @property
    def subject(self) -> Subject:
        """The subject of its alerts."""
        return Subject("anomaly", *self)

    @classmethod
    def of(cls, alert: Alert) -> Series:
        """The series that an alert is about."""
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
        """The deviation as a share of the expected value; a rate whose events are missing fell by all of it."""
        if self.reason == "no_data" and not self.value:
            return -1.0
        return self.value / self.expected - 1 if self.value is not None and self.expected else None

    @property
    def direction(self) -> str:
        """Whether the value is above or below the expected one: `up` or `down`."""
        return "up" if (self.value or 0.0) > (self.expected or 0.0) else "down"


def conditions_of(
    slot: Slot, verdicts: Iterable[Verdict], alerts: Iterable[Alert], sources: Mapping[str, str]
) -> Iterator[Condition]:
    """The conditions of a slot. `sources` are the catalogue's metrics, each with its source.

    The alerts of any other metric are closed: nothing evaluates it any more.
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
    looked_back = _LOOKED_BACK.get(verdict.reason, SLOT) - SLOT
    return Condition(
        subject,
        "firing",
        at,
        variant=verdict.direction,
        severity="critical" if verdict.severity == "critical" else "warning",
        origin=source,
        change=verdict.change,
        since=at - looked_back,
    )
