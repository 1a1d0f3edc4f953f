"""Generated traffic with the noise of a real product, as 15-minute metrics of many products side by side.

Its daily and weekly course, growth, days that are higher or lower as a whole, swings over hours, holidays, and counts
that scatter more than Poisson's: users come in sessions, a user views many posts, the readiness to like drifts.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from metrics_platform.calendar import SLOT
from metrics_platform.detection.series import SLOTS_A_DAY, Floats, SlotSeries

# Relative activity by local hour of a working day and of a weekend, 00 to 23: steep mornings, evenings the most.
WORKDAY = (18, 10, 6, 4, 3, 4, 9, 20, 33, 36, 34, 35, 40, 41, 37, 36, 38, 43, 50, 57, 62, 60, 48, 32)
WEEKEND = (28, 18, 11, 7, 5, 4, 6, 11, 20, 31, 40, 46, 50, 52, 50, 49, 50, 52, 55, 60, 63, 60, 50, 38)
METRICS = ("feed_users", "views", "likes", "ctr", "messages", "senders")


@dataclass(frozen=True)
class Product:
    """How large and how restless a generated product is.

    Attributes:
        feed_users: users of the feed in a slot at the average of the day.
        weekly_growth: share by which it grows a week.
        day_noise: how much whole days differ; hour_noise: how much hours do; slot_noise: how much slots do.
    """

    feed_users: float
    weekly_growth: float = 0.01
    day_noise: float = 0.03
    hour_noise: float = 0.03
    slot_noise: float = 0.02
    views_per_user: float = 9.0
    ctr: float = 0.2
    senders_per_feed_user: float = 0.25
    messages_per_sender: float = 3.0


@dataclass(frozen=True)
class Stretch:
    """A stretch of days: from `start` (UTC) on, in `zone`, with a fifth of the users away on `holidays`."""

    start: datetime.datetime
    days: int
    zone: ZoneInfo
    holidays: tuple[datetime.date, ...] = ()


def generate(products: Sequence[Product], stretch: Stretch, seed: int) -> dict[str, SlotSeries]:
    """The 15-minute metrics of `products`, each a series, over a stretch of days; a seed gives the same numbers."""
    start, days, zone = stretch.start, stretch.days, stretch.zone
    random = np.random.default_rng(seed)
    slots = days * SLOTS_A_DAY
    local = pd.date_range(start, periods=slots, freq=SLOT).tz_convert(zone)
    column = {
        name: np.array([getattr(each, name) for each in products], dtype=np.float64)
        for name in Product.__dataclass_fields__
    }
    course = (
        _course(local, stretch.holidays)[:, None]
        * (1 + column["weekly_growth"]) ** (np.arange(slots) / (7 * 96))[:, None]
    )

    def restless() -> Floats:
        shape = (slots, len(products))
        day = np.repeat(_drifting(random, (days, len(products)), 0.5), SLOTS_A_DAY, axis=0) * column["day_noise"]
        hour = _drifting(random, shape, 0.93) * column["hour_noise"]
        slot = random.standard_normal(shape) * column["slot_noise"]
        return np.exp(day + hour + slot)

    shared = restless()
    feed_users = random.poisson(course * shared * column["feed_users"]).astype(np.float64)
    # Views of a user scatter like a geometric number: their sum over users has a Gamma intensity.
    views = random.poisson(_gamma(random, feed_users) * column["views_per_user"]).astype(np.float64)
    inclination = 1 / column["ctr"] - 1
    readiness = np.exp(0.015 * _drifting(random, feed_users.shape, 0.98) + 0.01 * random.standard_normal(views.shape))
    # Who likes, likes much: as if a user's views were a third as many independent ones.
    ready = random.beta(np.maximum(views / 3, 1) / (1 + inclination), np.maximum(views / 3, 1) * (1 - column["ctr"]))
    likes = random.binomial(views.astype(np.int64), np.clip(ready * readiness, 0, 1)).astype(np.float64)
    lively = np.sqrt(shared * restless())
    senders = random.poisson(course * lively * column["feed_users"] * column["senders_per_feed_user"]).astype(float)
    more = random.poisson(_gamma(random, senders) * (column["messages_per_sender"] - 1))
    messages = np.where(senders > 0, senders + more, 0.0)
    counts = {"feed_users": feed_users, "views": views, "likes": likes, "messages": messages, "senders": senders}
    found = {name: SlotSeries(start, zone, values) for name, values in counts.items()}
    return {**found, "ctr": SlotSeries(start, zone, likes, views)}


def _course(local: pd.DatetimeIndex, holidays: Sequence[datetime.date]) -> Floats:
    """The expected activity of each slot, 1 on the average of a working day."""
    clock = (local.hour + local.minute / 60 + 0.125).to_numpy()
    hours = np.arange(25) + 0.5
    workday, weekend = (np.interp(clock, hours, [*curve, curve[0]]) for curve in (WORKDAY, WEEKEND))
    weekday = local.day_of_week.to_numpy()
    course = np.where(weekday >= 5, 0.92 * weekend, workday) / np.mean(WORKDAY)
    course *= np.array([1.0, 1.01, 1.02, 1.0, 0.97, 1.0, 1.03])[weekday]
    free = np.isin(local.date, np.array(holidays, dtype=object))
    return np.asarray(np.where(free, course * 0.78, course))


def _drifting(random: np.random.Generator, shape: tuple[int, int], memory: float) -> Floats:
    """Standard normal numbers down the first axis, each with `memory` of the one before."""
    steps = random.standard_normal(shape)
    for row in range(1, shape[0]):
        steps[row] = memory * steps[row - 1] + np.sqrt(1 - memory**2) * steps[row]
    return steps


def _gamma(random: np.random.Generator, users: Floats) -> Floats:
    return np.where(users > 0, random.gamma(np.maximum(users, 1e-9)), 0.0)
