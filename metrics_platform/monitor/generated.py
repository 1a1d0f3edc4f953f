"""Made-up histories of the catalogue's metrics, with the noise of a real product.

They have a daily and a weekly course, growth, holidays, days and hours that are higher or lower as a whole, and counts
that scatter more than Poisson's: users come in sessions, and each does many things at once.
"""

from __future__ import annotations

import datetime
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from metrics_platform.catalog import Catalog, Metric
from metrics_platform.detection.evaluate import TOTAL
from metrics_platform.detection.series import SLOTS_A_DAY, Floats
from metrics_platform.monitor.history import SlotHistory
from metrics_platform.time_windows import SLOT

# Relative activity by local hour of a working day and of a weekend, 00 to 23: steep mornings, evenings the highest.
WORKDAY = (18, 10, 6, 4, 3, 4, 9, 20, 33, 36, 34, 35, 40, 41, 37, 36, 38, 43, 50, 57, 62, 60, 48, 32)
WEEKEND = (28, 18, 11, 7, 5, 4, 6, 11, 20, 31, 40, 46, 50, 52, 50, 49, 50, 52, 55, 60, 63, 60, 50, 38)
# On these days a fifth of the users stay away.
HOLIDAYS = (datetime.date(2026, 4, 3), datetime.date(2026, 4, 6))
NAMES = (TOTAL, ("slice", "larger"), ("slice", "smaller"))
_BERLIN = ZoneInfo("Europe/Berlin")
_LARGER = 0.62  # the larger slice's share
_PART = 0.2  # of a share: its usual value
# How much whole days, hours and slots differ.
_DAY_NOISE, _HOUR_NOISE, _SLOT_NOISE = 0.03, 0.03, 0.02
# A metric's minimum volume is ten independent users, and what they do.
_USERS_OF_MINIMUM = 10


@dataclass(frozen=True)
class Product:
    """A made-up product.

    Attributes:
        users: active users in a slot, on the average of a working day.
        days: the length of its history.
        start: the first slot, in UTC. The default history has a clock change in it.
        weekly_growth: the share by which it grows in a week.
    """

    users: float
    days: int
    start: datetime.datetime = datetime.datetime(2026, 1, 25, 23, tzinfo=datetime.UTC)
    zone: ZoneInfo = _BERLIN
    holidays: Sequence[datetime.date] = HOLIDAYS
    weekly_growth: float = 0.01

    def activity(self, random: np.random.Generator) -> Floats:
        """The expected number of active users in each slot, [slots]."""
        slots = self.days * SLOTS_A_DAY
        day = np.repeat(_drifting(random, self.days, 0.5), SLOTS_A_DAY) * _DAY_NOISE
        hour = _drifting(random, slots, 0.93) * _HOUR_NOISE
        slot = random.standard_normal(slots) * _SLOT_NOISE
        growth = (1 + self.weekly_growth) ** (np.arange(slots) / (7 * SLOTS_A_DAY))
        return np.asarray(self._course() * growth * np.exp(day + hour + slot) * self.users)

    def _course(self) -> Floats:
        """The expected activity of each slot, 1 on the average of a working day."""
        local = pd.date_range(self.start, periods=self.days * SLOTS_A_DAY, freq=SLOT).tz_convert(self.zone)
        clock = (local.hour + local.minute / 60 + 0.125).to_numpy()
        hours = np.arange(25) + 0.5
        workday, weekend = (np.interp(clock, hours, [*curve, curve[0]]) for curve in (WORKDAY, WEEKEND))
        weekday = local.day_of_week.to_numpy()
        course = np.where(weekday >= 5, 0.92 * weekend, workday) / np.mean(WORKDAY)
        course *= np.array([1.0, 1.01, 1.02, 1.0, 0.97, 1.0, 1.03])[weekday]
        free = np.isin(local.date, np.array(self.holidays, dtype=object))
        return np.asarray(np.where(free, course * 0.78, course))


def generated_histories(catalog: Catalog, product: Product, seed: int) -> dict[str, SlotHistory]:
    """The history of every metric: the total and two slices. The same seed gives the same numbers."""
    # The numerator of a share is a part of its denominator.
    wholes = {
        str(metric.numerator): str(metric.denominator) for metric in catalog.metrics.values() if metric.kind == "share"
    }
    aggregates: dict[str, Floats] = {}

    def values_of(name: str) -> Floats:
        if name not in aggregates:
            random = np.random.default_rng([seed, zlib.crc32(name.encode())])
            # Two metrics that are shares of each other end there.
            whole = wholes.pop(name, None)
            if whole is None:
                aggregates[name] = _values(catalog.metrics[name], product, random)
            else:
                aggregates[name] = _part(values_of(whole), random)
        return aggregates[name]

    def history(metric: Metric) -> SlotHistory:
        above = values_of(metric.numerator or metric.name)
        below = values_of(metric.denominator) if metric.denominator else None
        return SlotHistory(metric, product.start, product.zone, NAMES, above, below)

    return {name: history(metric) for name, metric in catalog.metrics.items()}


def _values(metric: Metric, product: Product, random: np.random.Generator) -> Floats:
    """An aggregate's values, [slots, series]."""
    activity = product.activity(random)
    if metric.kind == "gauge":
        total = activity * np.exp(0.05 * random.standard_normal(activity.shape))
        larger = total * np.clip(_LARGER + 0.02 * random.standard_normal(total.shape), 0, 1)
        return np.stack([total, larger, total - larger], axis=1)
    count = random.poisson(activity)
    actions = (metric.monitor.total.minimum_volume if metric.monitor.total else 0) / _USERS_OF_MINIMUM
    if actions > 1:
        # What a user does scatters like a geometric number: the sum over users has a Gamma intensity.
        count = random.poisson(np.where(count > 0, random.gamma(np.maximum(count, 1e-9)), 0.0) * actions)
    part = random.binomial(count, _LARGER)
    return np.stack([count, part, count - part], axis=1).astype(np.float64)


def _part(whole: Floats, random: np.random.Generator) -> Floats:
    """A part of the values, such as the views that are followed by a like, whose share drifts."""
    slices = whole[:, 1:]
    drift = 0.015 * _drifting(random, len(whole), 0.98) + 0.01 * random.standard_normal(len(whole))
    # Users differ in how often they do it, as if only a third of the values were independent.
    independent = np.maximum(slices / 3, 1)
    share = random.beta(independent * _PART, independent * (1 - _PART)) * np.exp(drift)[:, None]
    parts = random.binomial(slices.astype(np.int64), np.clip(share, 0, 1)).astype(np.float64)
    return np.concatenate([parts.sum(axis=1, keepdims=True), parts], axis=1)


def _drifting(random: np.random.Generator, count: int, memory: float) -> Floats:
    """Standard normal numbers, each with `memory` of the one before."""
    steps = random.standard_normal(count)
    for row in range(1, count):
        steps[row] = memory * steps[row - 1] + np.sqrt(1 - memory**2) * steps[row]
    return steps
