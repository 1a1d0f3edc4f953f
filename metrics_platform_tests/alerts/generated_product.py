"""A product of generated days: users sleep at night, get a push every noon, and incidents are injected."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from metrics_platform.detection.series import SLOTS_A_DAY, Floats
from metrics_platform.time_windows import SLOT

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
    """A factor, or factors in turn, on everything from `day` and `hour` on for so many hours; of a launch for good."""

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
    """A product with so many active users in a slot at noon; the same seed gives the same numbers."""
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
