"""Daily and weekly patterns with sharp edges: the mean of each slot, to draw Poisson numbers from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from metrics_platform.detection.config import DetectorConfig
from metrics_platform.detection.evaluate import evaluate
from metrics_platform.detection.series import SLOTS_A_DAY, Floats, SlotSeries
from metrics_platform_tests.detection.histories import flat

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


DAY = SLOTS_A_DAY
DAYS = 44
VOLUMES = (30, 300, 3000)


def _counts(volume: float, seed: int) -> tuple[Floats, SlotSeries]:
    means = np.stack([pattern(volume, DAYS) for pattern in PATTERNS.values()], axis=1)
    values = np.random.default_rng(seed).poisson(means).astype(np.float64)
    return means, SlotSeries(flat([0.0]).start, flat([0.0]).zone, values)


@pytest.mark.parametrize("seed", [1, 4])
def test_two_weeks_of_sharp_patterns_raise_at_most_one_alert(seed: int) -> None:
    alerts = [evaluate(_counts(volume, seed)[1], 14 * DAY, DetectorConfig()).detections.anomalous for volume in VOLUMES]
    assert sum(int(found.sum()) for found in alerts) <= 1


@pytest.mark.parametrize("volume", VOLUMES)
def test_an_outage_of_an_hour_in_a_sharp_pattern_is_found(volume: float) -> None:
    means, series = _counts(volume, 2)
    for number, name in enumerate(PATTERNS):
        wednesday = means[37 * DAY : 38 * DAY, number]
        begin = 37 * DAY + int(np.argmax(np.convolve(wednesday, np.ones(4), "valid")))
        values = series.values[: begin + 4, number].copy()
        values[-4:] = 0
        assert evaluate(flat(values), 4, DetectorConfig()).detections.anomalous.any(), name


def test_a_slot_whose_own_past_is_zero_expects_zero() -> None:
    shop = PATTERNS["opening hours"](300, DAYS)
    found = evaluate(flat(shop), DAY, DetectorConfig()).detections
    assert (found.expected[shop[-DAY:] == 0] == 0).all()
    np.testing.assert_allclose(found.expected[shop[-DAY:] > 0], 300)
