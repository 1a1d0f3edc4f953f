"""Sixty days of a product through the real detectors and the alert engine: what a person would have been sent."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest

from metrics_platform.alerts.alert import Alert, Condition, Notification
from metrics_platform.alerts.anomalies import Series, Verdict, conditions_of
from metrics_platform.alerts.engine import step
from metrics_platform.alerts.volume import Limits, Volume, combined, evaluate_volume, silent_slots, staleness, usual_rows
from metrics_platform.calendar import SLOT, Slot
from metrics_platform.catalog import builtin_catalog
from metrics_platform.detection.detections import Reason, Status
from metrics_platform.detection.evaluate import evaluate
from metrics_platform.detection.series import SLOTS_A_DAY, SlotSeries
from metrics_platform.health.probe import Freshness, Period
from metrics_platform_tests.alerts.generated_product import (
    HISTORY_DAYS,
    NAMES,
    START,
    ZONE,
    Incident,
    Product,
    generate,
)

DAYS = 60
LAUNCH = 35
INCIDENTS = (
    Incident("outage of an hour", 8, 12, 1, (0,)),
    Incident("outage of two hours", 14, 15, 2, (0,)),
    Incident("half for three hours", 18, 16, 3, (0.5,)),
    Incident("every fourth slot dead", 22, 9, 12, (0, 1, 1, 1)),
    Incident("outage of five hours", 27, 13, 5, (0,)),
    Incident("launch", LAUNCH, 10, 24 * (DAYS - LAUNCH), (2,)),
    Incident("outage on the day of the launch", LAUNCH, 16, 1, (0,)),
)
LIMITS = Limits(datetime.timedelta(hours=1), datetime.timedelta(hours=3))
METRICS = builtin_catalog().metrics
SOURCES = {name: metric.source for name, metric in METRICS.items()}
_WEEK = 7 * SLOTS_A_DAY
_REMEMBERED = datetime.timedelta(days=8)


@dataclass
class Simulation:
    """The product's monitor and its source sensor, a step for each slot."""

    product: Product
    incidents: dict[str, Alert] = field(default_factory=dict)
    platform: dict[str, Alert] = field(default_factory=dict)
    sent: list[tuple[int, Notification]] = field(default_factory=list)

    def run(self) -> None:
        """Simulate every slot."""
        verdicts = dict(_verdicts(self.product))
        for number in range(self.product.slots):
            slot = Slot(START + (HISTORY_DAYS * SLOTS_A_DAY + number) * SLOT)
            alerts = self._remembered(self.incidents, slot)
            open_series = {Series.of(alert) for alert in alerts}
            found = [
                verdict
                for series, column in verdicts.items()
                if (verdict := column[number]).status == "anomalous" or series in open_series
            ]
            conditions = conditions_of(slot, found, alerts, SOURCES)
            self._step(number, slot.start, self.incidents, alerts, conditions, list(self.platform.values()))
            conditions = self._source_conditions(number, slot)
            platform = self._remembered(self.platform, slot)
            self._step(number, slot.end, self.platform, platform, conditions, list(self.incidents.values()))

    def _step(  # noqa: PLR0917
        self,
        number: int,
        now: datetime.datetime,
        kept: dict[str, Alert],
        alerts: list[Alert],
        conditions: Iterator[Condition],
        inhibitors: list[Alert],
    ) -> None:
        found = step(now, alerts, list(conditions), inhibitors=inhibitors)
        kept.clear()
        kept.update({alert.id: alert for alert in alerts if alert.state != "pending"})
        kept.update({alert.id: alert for alert in found.alerts})
        self.sent += [(number, notification) for notification in found.notifications if notification.kind != "updated"]

    @staticmethod
    def _remembered(alerts: Mapping[str, Alert], slot: Slot) -> list[Alert]:
        return [
            alert
            for alert in alerts.values()
            if alert.is_open or slot.start - max(alert.last_at, alert.closed_at or alert.last_at) < _REMEMBERED
        ]

    def _source_conditions(self, number: int, slot: Slot) -> Iterator[Condition]:
        position = HISTORY_DAYS * SLOTS_A_DAY + number
        for source, events in self.product.events.items():
            yield self._freshness(source, position, slot).condition(slot.end)
            hour = [_volume(events, position - back) for back in range(4)]
            volume = hour[0] if hour[0].status != "unusual" else combined(hour)
            start = slot.start - 3 * SLOT
            yield Period(source, slot.key, start, slot.end, volume).condition()
            # The night's load has computed the day before by now.
            today = position // SLOTS_A_DAY
            days = events[: today * SLOTS_A_DAY].reshape(-1, SLOTS_A_DAY).sum(axis=1)
            if number % SLOTS_A_DAY == 2:
                end = slot.start - 2 * SLOT
                day = evaluate_volume(int(days[-1]), [int(rows) for rows in days[-8:-36:-7]])
                yield Period(source, end.date().isoformat(), end - SLOTS_A_DAY * SLOT, end, day).condition()

    def _freshness(self, source: str, position: int, slot: Slot) -> Freshness:
        events = self.product.events[source]
        last = position
        while not events[last]:
            last -= 1
        latest = START + (last + 1) * SLOT - datetime.timedelta(seconds=1)
        usual: dict[Slot, int | None] = {}
        if slot.end - latest >= LIMITS.warning:
            for silent in silent_slots(latest, slot.end):
                at = (silent.start - START) // SLOT
                weeks = [int(events[at - week * _WEEK]) for week in range(1, 6) if at >= week * _WEEK]
                usual[silent] = usual_rows(weeks, [])
        return Freshness(source, latest, latest, staleness(latest, slot.end, LIMITS, usual), LIMITS)


def _volume(events: np.ndarray, position: int) -> Volume:
    weeks = [int(events[position - week * _WEEK]) for week in range(1, 6) if position >= week * _WEEK]
    return evaluate_volume(int(events[position]), weeks)


def _verdicts(product: Product) -> Iterator[tuple[Series, list[Verdict]]]:
    """The verdicts of the detectors on every series and slot."""
    for name, (values, trials) in product.values.items():
        monitor = METRICS[name].monitor
        for first, end, config in ((0, 1, monitor.total), (1, len(NAMES), monitor.slices)):
            assert config is not None
            below = None if trials is None else trials[:, first:end]
            series = SlotSeries(START, ZONE, values[:, first:end], below, kind=METRICS[name].kind)
            found = evaluate(series, product.slots, config).detections
            for column in range(end - first):
                key = Series(name, *NAMES[first + column])
                yield (
                    key,
                    [
                        _verdict(key, *row)
                        for row in zip(
                            found.status[:, column].tolist(),
                            found.reason[:, column].tolist(),
                            found.value[:, column].tolist(),
                            found.expected[:, column].tolist(),
                            strict=True,
                        )
                    ],
                )


def _verdict(series: Series, status: int, reason: int, value: float, expected: float) -> Verdict:
    change = value / expected - 1 if expected else 1.0
    severity = "" if status != Status.ANOMALOUS else "critical" if abs(change) >= 0.3 else "warning"
    return Verdict(
        series, Status(status).name.lower(), severity, Reason(reason).name.lower(), value=value, expected=expected
    )


@cache
def simulated(seed: int = 1) -> Simulation:
    """The simulation; the tests look at one."""
    simulation = Simulation(generate(seed, DAYS, 200, INCIDENTS))
    simulation.run()
    return simulation


def sent_about(name: str) -> Counter[str]:
    """What was sent from the start of an incident until half a day after its end, without those of others in it."""
    incident = next(one for one in INCIDENTS if one.name == name)
    later = [other.first for other in INCIDENTS if other.first > incident.first]
    end = min([incident.end + 48, *later]) if name != "launch" else incident.end
    others = [range(other.first, other.end + 16) for other in INCIDENTS if other.name not in {name, "launch"}]
    return Counter(
        found.kind
        for number, found in simulated().sent
        if incident.first <= number < end and not (name == "launch" and any(number in span for span in others))
    )


@pytest.mark.parametrize(
    ("name", "reminders"),
    [
        ("outage of an hour", 0),
        ("outage of two hours", 0),
        ("half for three hours", 0),
        ("every fourth slot dead", 1),
        ("outage of five hours", 1),
        ("outage on the day of the launch", 0),
    ],
)
def test_an_incident_is_one_message_with_its_reminder_and_all_clear(name: str, reminders: int) -> None:
    sent = sent_about(name)
    assert sent["opened"] == 1
    assert sent["reminder"] + sent["worsened"] <= reminders
    assert sent["resolved"] >= 1


def test_a_launch_is_one_message_and_at_most_one_reminder() -> None:
    sent = sent_about("launch")
    print(sent)
    assert sent["opened"] == 1
    assert sent["reminder"] <= 1
    changes = {alert.change for alert in simulated().incidents.values()}
    assert changes


def test_nothing_is_sent_at_night() -> None:
    at_night = [found.key for number, found in simulated().sent if number % SLOTS_A_DAY < 6 * 4]
    assert at_night == []


def test_sources_and_volumes_send_nothing_that_the_metrics_have_sent() -> None:
    kinds = Counter(found.alerts[0].subject.kind for _, found in simulated().sent)
    assert set(kinds) == {"anomaly"}
