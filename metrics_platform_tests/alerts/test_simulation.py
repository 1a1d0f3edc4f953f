"""A product of generated days: users sleep at night, get a push every noon, and incidents are injected."""

from __future__ import annotations

import datetime
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from metrics_platform.alerts.alert import Alert, Condition, Notification
from metrics_platform.alerts.anomalies import Series, Verdict, conditions_of
from metrics_platform.alerts.engine import step
from metrics_platform.catalog import builtin_catalog
from metrics_platform.detection.evaluate import evaluate
from metrics_platform.detection.series import SLOTS_A_DAY, Floats, Reason, SlotSeries, Status
from metrics_platform.health.probe import (
    Limits,
    Volume,
    combine,
    evaluate_volume,
    silent_slots,
    stale_condition,
    staleness,
    usual_rows,
    volume_condition,
)
from metrics_platform.time_windows import SLOT, Slot

ZONE = ZoneInfo("Europe/Moscow")
# Midnight in Moscow; a month of history before the simulated days.
START = datetime.datetime(2026, 8, 1, 21, tzinfo=datetime.UTC)
HISTORY_DAYS = 32
DIMENSIONS: Mapping[str, Mapping[str, float]] = {
    "os": {"iOS": 0.35, "Android": 0.65},
    "country": {"Russia": 0.86, "Kazakhstan": 0.14},
}
NAMES = (("total", "total"), *((dimension, value) for dimension, values in DIMENSIONS.items() for value in values))
# Activity by hour: nothing from 2 to 6, the most in the evening.
_HOURS = (0, 1, 2, 6, 7, 8, 9, 12, 15, 18, 20, 21, 22, 23, 24)
_ACTIVITY = (0.2, 0.05, 0, 0, 0.1, 0.35, 0.7, 1, 1, 1.2, 1.5, 1.6, 1.3, 0.7, 0.2)
_PUSH_FROM, _PUSH_UNTIL, _PUSH = 12.0, 12.5, 1.6


@dataclass(frozen=True)
class Incident:
    """A factor, or factors in turn, on everything from `day` and `hour` on for `hours`; of a launch for good."""

    name: str
    day: int
    hour: float
    hours: float
    factors: Sequence[float]

    @property
    def first(self) -> int:
        """Its first slot, of the simulated ones."""
        return self.day * SLOTS_A_DAY + int(self.hour * 4)

    @property
    def end(self) -> int:
        """The slot after its last one."""
        return self.first + int(self.hours * 4)


@dataclass(frozen=True)
class Product:
    """Values by metric, [slots, series] in the order of NAMES, numerator and denominator; and events by source."""

    values: Mapping[str, tuple[Floats, Floats | None]]
    events: Mapping[str, Floats]

    @property
    def slots(self) -> int:
        """How many slots are simulated."""
        return len(self.events["feed_actions"]) - HISTORY_DAYS * SLOTS_A_DAY


def generate(seed: int, days: int, users: float, incidents: Sequence[Incident]) -> Product:
    """A product with `users` active users in a slot at noon; the same seed gives the same numbers."""
    random = np.random.default_rng(seed)
    count = (HISTORY_DAYS + days) * SLOTS_A_DAY
    activity = _activity(random, count, incidents) * users
    active = _by_slice(random, random.poisson(activity))
    views = _summed(random.poisson(random.gamma(np.maximum(3 * active[:, 1:], 1e-9))))
    likes = _summed(random.binomial(views[:, 1:].astype(np.int64), 0.2))
    messages = _by_slice(random, random.poisson(activity * 0.6))
    senders = _by_slice(random, random.binomial(messages[:, 0].astype(np.int64), 0.7))
    values: dict[str, tuple[Floats, Floats | None]] = {
        "feed_users": (active, None),
        "views": (views, None),
        "likes": (likes, None),
        "ctr": (likes, views),
        "messages": (messages, None),
        "senders": (senders, None),
    }
    return Product(values, {"feed_actions": views[:, 0] + likes[:, 0], "message_actions": messages[:, 0]})


def _activity(random: np.random.Generator, count: int, incidents: Sequence[Incident]) -> Floats:
    local = pd.date_range(START, periods=count, freq=SLOT).tz_convert(ZONE)
    hour = (local.hour + local.minute / 60).to_numpy()
    course = np.interp(hour, _HOURS, _ACTIVITY) * np.where(local.day_of_week.to_numpy() >= 5, 1.1, 1.0)
    course *= np.where((hour >= _PUSH_FROM) & (hour < _PUSH_UNTIL), _PUSH, 1.0)
    day = np.repeat(random.normal(0, 0.03, count // SLOTS_A_DAY), SLOTS_A_DAY)
    drift = np.zeros(count)
    for slot, noise in enumerate(random.normal(0, 0.01, count)):
        drift[slot] = 0.93 * drift[slot - 1] + noise
    factor = np.ones(count)
    for incident in incidents:
        first, end = (HISTORY_DAYS * SLOTS_A_DAY + slot for slot in (incident.first, incident.end))
        factor[first:end] *= np.resize(incident.factors, len(factor[first:end]))
    return np.asarray(course * np.exp(day + drift) * factor)


def _by_slice(random: np.random.Generator, total: Floats) -> Floats:
    """Counts with their slices: of each dimension the first value, and the rest."""
    columns = [total]
    for values in DIMENSIONS.values():
        first = random.binomial(total.astype(np.int64), next(iter(values.values())))
        columns += [first, total - first]
    return np.stack(columns, axis=1).astype(np.float64)


def _summed(slices: Floats) -> Floats:
    """Slices with their total, which is the sum over the first dimension."""
    return np.concatenate([slices[:, :2].sum(axis=1, keepdims=True), slices], axis=1).astype(np.float64)


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
_STATUSES, _REASONS = ([member.name.lower() for member in names] for names in (Status, Reason))
_REMEMBERED = datetime.timedelta(days=8)


@dataclass
class Simulation:
    """The product's monitor and its source sensor, a step for each slot."""

    product: Product
    monitors: bool = True
    incidents: dict[str, Alert] = field(default_factory=dict)
    platform: dict[str, Alert] = field(default_factory=dict)
    sent: list[tuple[int, Notification]] = field(default_factory=list)

    def run(self) -> None:
        """Simulate every slot."""
        verdicts = dict(_verdicts(self.product)) if self.monitors else {}
        for number in range(self.product.slots):
            slot = Slot(START + (HISTORY_DAYS * SLOTS_A_DAY + number) * SLOT)
            alerts = self._remembered(self.incidents, slot)
            open_series = {Series.of(alert) for alert in alerts}
            found = [
                _verdict(series, *column[number])
                for series, column in verdicts.items()
                if column[number][0] == Status.ANOMALOUS or series in open_series
            ]
            conditions = conditions_of(slot, found, alerts, SOURCES)
            self._step(number, slot.start, self.incidents, alerts, conditions, self._remembered(self.platform, slot))
            conditions = self._source_conditions(number, slot)
            platform = self._remembered(self.platform, slot)
            self._step(number, slot.end, self.platform, platform, conditions, self._remembered(self.incidents, slot))

    def _step(  # noqa: PLR0917
        self,
        number: int,
        now: datetime.datetime,
        kept: dict[str, Alert],
        alerts: list[Alert],
        conditions: Iterator[Condition],
        inhibitors: list[Alert],
    ) -> None:
        given = list(conditions)
        if all(alert.state in ("resolved", "expired") for alert in alerts) and all(
            condition.status != "firing" for condition in given
        ):
            return  # most slots: nothing is open and nothing fires
        found = step(now, alerts, given, inhibitors=inhibitors)
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
            yield self._freshness(source, position, slot)
            volume = _volume(events, position)
            if volume.status == "unusual":
                volume = combine([_volume(events, position - back) for back in range(4)])
            start = slot.start - 3 * SLOT
            yield volume_condition(source, slot.key, start, slot.end, volume)
            if number % SLOTS_A_DAY == 2:  # the night's load has computed the day before by now
                end = slot.start - 2 * SLOT
                days = events[: position // SLOTS_A_DAY * SLOTS_A_DAY].reshape(-1, SLOTS_A_DAY).sum(axis=1)
                day = evaluate_volume(int(days[-1]), [int(rows) for rows in days[-8:-36:-7]])
                yield volume_condition(source, end.date().isoformat(), end - SLOTS_A_DAY * SLOT, end, day)

    def _freshness(self, source: str, position: int, slot: Slot) -> Condition:
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
        level = staleness(latest, slot.end, LIMITS, usual)
        return stale_condition(source, latest, latest, level, LIMITS, slot.end)


def _volume(events: np.ndarray, position: int) -> Volume:
    weeks = [int(events[position - week * _WEEK]) for week in range(1, 6) if position >= week * _WEEK]
    return evaluate_volume(int(events[position]), weeks)


def _verdicts(product: Product) -> Iterator[tuple[Series, list[tuple[int, int, float, float]]]]:
    """The verdicts of the detectors by series and slot: status, reason, value and expected value."""
    for name, (values, trials) in product.values.items():
        monitor = METRICS[name].monitor
        for first, end, config in ((0, 1, monitor.total), (1, len(NAMES), monitor.slices)):
            assert config is not None
            below = None if trials is None else trials[:, first:end]
            series = SlotSeries(START, ZONE, values[:, first:end], below, kind=METRICS[name].kind)
            found = evaluate(series, product.slots, config).detections
            numbers = (found.status, found.reason, found.value, found.expected)
            for column in range(end - first):
                rows = zip(*(array[:, column].tolist() for array in numbers), strict=True)
                yield Series(name, *NAMES[first + column]), list(rows)


def _verdict(series: Series, status: int, reason: int, value: float, expected: float) -> Verdict:
    change = value / expected - 1 if expected else 1.0
    severity = "" if status != Status.ANOMALOUS else "critical" if abs(change) >= 0.3 else "warning"
    return Verdict(series, _STATUSES[status], severity, _REASONS[reason], value=value, expected=expected)


@cache
def simulated(*, monitors: bool = True) -> Simulation:
    """The simulation that the tests look at; without the monitor, only the sources are probed."""
    simulation = Simulation(generate(1, DAYS, 200, INCIDENTS), monitors)
    simulation.run()
    return simulation


def sent_during(name: str) -> Counter[str]:
    """What was sent from the start of an incident until its all-clear could be there."""
    incident = next(one for one in INCIDENTS if one.name == name)
    return Counter(found.kind for number, found in simulated().sent if incident.first <= number < incident.end + 8)


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("outage of an hour", {"opened": 1, "resolved": 1}),
        ("outage of two hours", {"opened": 1, "resolved": 1}),
        ("half for three hours", {"opened": 1, "resolved": 1}),
        # after its first slot it seems to be over; the reminder says that it is not
        ("every fourth slot dead", {"opened": 1, "reminder": 1, "resolved": 2}),
        ("outage of five hours", {"opened": 1, "reminder": 1, "resolved": 1}),
    ],
)
def test_an_incident_is_one_message_with_its_reminder_and_all_clear(name: str, sent: Mapping[str, int]) -> None:
    assert sent_during(name) == sent


def test_a_launch_is_one_message_and_an_outage_on_its_day_another() -> None:
    on_the_day = [found for number, found in simulated().sent if number // SLOTS_A_DAY == LAUNCH]
    sent = Counter((found.kind, found.alerts[0].variant) for found in on_the_day)
    assert sent.pop(("reminder", "up"), 0) <= 1
    assert sent == dict.fromkeys(itertools.product(("opened", "resolved"), ("up", "down")), 1)
    later = [found for number, found in simulated().sent if LAUNCH < number // SLOTS_A_DAY <= LAUNCH + 7]
    assert [found.key for found in later if found.alerts[0].variant == "up"] == []


def test_all_else_is_a_few_false_alarms_and_none_at_night() -> None:
    days = {incident.day for incident in INCIDENTS}
    false_alarms = [number for number, found in simulated().sent if found.kind == "opened"
                    and number // SLOTS_A_DAY not in days]  # fmt: skip
    weeks = DAYS / 7
    assert len(false_alarms) <= weeks, "the detectors are to blame, not the engine"
    assert [found.key for number, found in simulated().sent if number % SLOTS_A_DAY < 6 * 4] == []


def test_sources_and_volumes_say_nothing_that_the_metrics_have_said() -> None:
    assert {found.alerts[0].subject.kind for _, found in simulated().sent} == {"anomaly"}


def test_without_the_monitor_each_outage_is_stale_once_and_the_nights_never() -> None:
    sent = simulated(monitors=False).sent
    stale = Counter(
        (number // SLOTS_A_DAY, found.kind)
        for number, found in sent
        if found.alerts[0].subject == ("stale_data", "feed_actions", "total", "total")
    )
    days = {incident.day for incident in INCIDENTS if incident.name.startswith("outage")}
    assert {day for day, _ in stale} == days
    assert all(count == 1 for count in stale.values())
    assert {day for day, kind in stale if kind == "worsened"} == {27}
    volumes = Counter((found.alerts[0].subject.kind, found.alerts[0].variant) for _, found in sent)
    del volumes["stale_data", ""]
    # Of each source; a launch is one unusual hour and one unusual day.
    assert all(count <= 2 for count in volumes.values())
