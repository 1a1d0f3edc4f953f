"""Sharp daily and weekly patterns are silence, and an outage in one is found."""

from __future__ import annotations

import numpy as np
import pytest

from metrics_platform.detection.config import DetectorConfig
from metrics_platform.detection.evaluate import evaluate
from metrics_platform.detection.series import SLOTS_A_DAY, Floats, SlotSeries
from metrics_platform_tests.detection.histories import flat
from metrics_platform_tests.detection.patterns import PATTERNS

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
