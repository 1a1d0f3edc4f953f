"""The last step of the seasonal detector: from deviations to an answer, with the band to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metrics_platform.detection.config import Seasonal
from metrics_platform.detection.detections import Detections, Reason, Status
from metrics_platform.detection.series import Floats, SlotSeries

HOUR, TWO_HOURS = 4, 8
NOISE_SLOTS = 24
_WIDEST = 1.5
_OUTLIER = 3.0
# How many deviations the last slot of a longer window must be away itself, so that the alert is about now.
_OWN = 1.4
_MAD_TO_SIGMA = 1.4826
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Window:
    """The slots up to each position, compared with what was expected; arrays [positions, series].

    Attributes:
        actual: their sum, or share.
        expected: the expected sum or share.
        volume: what `minimum_volume` applies to: the larger size of the two; of a share, its trials.
        sigma: the standard deviation, on the scale on which it does not depend on the value.
        score: the deviation from the expected value in standard deviations.
    """

    actual: Floats
    expected: Floats
    volume: Floats
    sigma: Floats
    score: Floats


def decide(
    series: SlotSeries,
    slots: int,
    windows: Mapping[int, Window],
    enough: Booleans,
    limits: tuple[Seasonal, float],
) -> Detections:
    """The answers for the last `slots` slots, from the windows of one slot, an hour and two hours up to each.

    `enough`: where the baseline is made of enough days. `limits`: the thresholds and the minimum volume.
    """
    config, minimum_volume = limits
    one = windows[1]
    wide = _widening(one.score, slots)
    score = one.score[-slots:] / wide
    tests = (
        (Reason.THIS_SLOT, 1, config.slot_threshold, 0.0),
        (Reason.LAST_HOUR, HOUR, config.hour_threshold, _OWN),
        (Reason.LAST_TWO_HOURS, TWO_HOURS, config.two_hours_threshold, _OWN),
    )
    value = series.observed[-slots:]
    reason = np.full(value.shape, Reason.WITHIN_BAND, dtype=np.int8)
    shown, width = score.copy(), np.full(value.shape, config.slot_threshold)
    small, few = np.zeros(value.shape, dtype=bool), np.zeros(value.shape, dtype=bool)
    for name, length, threshold, least in tests:
        window = windows[length]
        total = window.score[-slots:] / wide
        beyond = (np.abs(total) >= threshold) & (np.abs(score) >= least) & (np.sign(total) == np.sign(score))
        enough_change = _change(window)[-slots:] >= config.minimum_change
        enough_volume = window.volume[-slots:] >= minimum_volume
        fires = beyond & enough_change & enough_volume & (reason == Reason.WITHIN_BAND)
        reason[fires] = name
        shown[fires] = total[fires]
        width[fires] = least or threshold
        small |= beyond & ~enough_change
        few |= beyond & ~enough_volume
    quiet = reason == Reason.WITHIN_BAND
    reason[quiet & small] = Reason.CHANGE_TOO_SMALL
    reason[quiet & few] = Reason.BELOW_MINIMUM_VOLUME
    if series.trials is None and not series.is_gauge:
        reason[~quiet & (value == 0)] = Reason.NO_DATA
    expected = one.expected[-slots:]
    distance = width * one.sigma[-slots:] * wide
    lower, upper = _band(series, expected, distance, width < config.slot_threshold, limits)
    status = np.where(quiet, Status.NORMAL, Status.ANOMALOUS).astype(np.int8)
    found = Detections(status, reason, value, expected, lower, upper, shown)
    return found.where_unknown(~(enough[-slots:] & np.isfinite(expected)))


def beyond_alone(window: Window, limits: tuple[Seasonal, float]) -> Booleans:
    """Where a window deviates enough by its usual noise, in a change and a volume that are large enough."""
    config, minimum_volume = limits
    large = (_change(window) >= config.minimum_change) & (window.volume >= minimum_volume)
    return np.asarray(large & (np.abs(window.score) >= config.slot_threshold))


def _change(window: Window) -> Floats:
    """The size of the change as a share of the expected value."""
    actual, usual = window.actual, window.expected
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(usual != 0, np.abs(actual / usual - 1), np.where(actual != 0, np.inf, 0.0))


def _widening(scores: Floats, slots: int) -> Floats:
    """How much noisier than usual the slots before each evaluated one were, 1 to _WIDEST, without outliers."""
    wide = np.ones((slots, scores.shape[1]))
    for row in range(slots):
        end = len(scores) - slots + row
        before = np.abs(scores[max(0, end - NOISE_SLOTS) : end])
        usual = np.isfinite(before) & (before <= _OUTLIER)
        ordered = np.sort(np.where(usual, before, np.inf), axis=0)
        count = usual.sum(axis=0)
        if not len(ordered):
            continue
        middle = np.take_along_axis(ordered, np.maximum(count // 2, 0)[None, :].clip(max=len(ordered) - 1), axis=0)[0]
        enough = count >= NOISE_SLOTS // 3
        wide[row] = np.where(enough, np.clip(_MAD_TO_SIGMA * np.where(enough, middle, 0.0), 1.0, _WIDEST), 1.0)
    return wide


def _band(
    series: SlotSeries, expected: Floats, distance: Floats, narrow: Booleans, limits: tuple[Seasonal, float]
) -> tuple[Floats, Floats]:
    """The band outside of which the slot is anomalous; where a longer window fired, that window's, which is narrower.

    The minimum change and the minimum volume widen it, so that no value outside of it is called normal.
    """
    config, minimum_volume = limits
    if series.is_gauge:
        distance = np.maximum(distance, np.where(narrow, 0.0, config.minimum_change * np.abs(expected)))
        return expected - distance, expected + distance
    if series.trials is None:
        middle = np.sqrt(expected + 0.375)
        lower = np.maximum(middle - distance, 0.0) ** 2 - 0.375
        upper = (middle + distance) ** 2 - 0.375
        lower = np.where(expected < minimum_volume, 0.0, lower)
        upper = np.where(narrow, upper, np.maximum(upper, minimum_volume))
    else:
        middle = np.arcsin(np.sqrt(np.clip(expected, 0.0, 1.0)))
        lower = np.sin(np.clip(middle - distance, 0.0, np.pi / 2)) ** 2
        upper = np.sin(np.clip(middle + distance, 0.0, np.pi / 2)) ** 2
    lower = np.where(narrow, lower, np.minimum(lower, expected * (1 - config.minimum_change)))
    upper = np.where(narrow, upper, np.maximum(upper, expected * (1 + config.minimum_change)))
    return np.maximum(lower, 0.0), upper
