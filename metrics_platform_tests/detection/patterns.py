"""Daily and weekly patterns with sharp edges: the mean of each slot, to draw Poisson numbers from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metrics_platform.detection.series import SLOTS_A_DAY, Floats

Pattern = Callable[[float, int], Floats]


def _clock(days: int) -> tuple[Floats, Floats]:
    slots = np.arange(days * SLOTS_A_DAY)
    return slots % SLOTS_A_DAY / 4, slots // SLOTS_A_DAY % 7  # the hour, and the weekday from Monday on


def _course(days: int) -> Floats:
    hour, _ = _clock(days)
    return 1 + 0.6 * np.sin((hour - 9) / 24 * 2 * np.pi)


def _opening_hours(volume: float, days: int, last_weekday: int = 6) -> Floats:
    hour, weekday = _clock(days)
    return volume * ((hour >= 9) & (hour < 21) & (weekday <= last_weekday))


def _push(volume: float, days: int, factor: float) -> Floats:
    hour, _ = _clock(days)
    return volume * _course(days) * np.where(hour == 20, factor, np.where(hour == 20.25, 1 + (factor - 1) / 3, 1))


def _batches(volume: float, days: int, every: int) -> Floats:
    return volume * _course(days) * (np.arange(days * SLOTS_A_DAY) % every == 0)


def _newsletter(volume: float, days: int) -> Floats:
    hour, weekday = _clock(days)
    return volume * _course(days) * np.where((weekday == 1) & (hour >= 10) & (hour < 11), 4, 1)


PATTERNS: dict[str, Pattern] = {
    "opening hours": _opening_hours,
    "opening hours on working days": lambda volume, days: _opening_hours(volume, days, 4),
    "push x2": lambda volume, days: _push(volume, days, 2),
    "push x4": lambda volume, days: _push(volume, days, 4),
    "push x8": lambda volume, days: _push(volume, days, 8),
    "hourly batches": lambda volume, days: _batches(volume, days, 4),
    "half-hourly batches": lambda volume, days: _batches(volume, days, 2),
    "weekly newsletter": _newsletter,
}
