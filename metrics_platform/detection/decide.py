"""The last step of the seasonal detector: from deviations to an answer, with the band to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from metrics_platform.detection.arrays import MAD_TO_SIGMA, TINY
from metrics_platform.detection.config import Seasonal
from metrics_platform.detection.detections import Detections, Reason, Status
from metrics_platform.detection.series import Booleans, Floats, SlotSeries

HOUR, TWO_HOURS = 4, 8
NOISE_SLOTS = 16
# How many deviations the last slot of a longer window must be away itself, so that the alert is about now.
_OWN = 1.2
# Noisy hours widen the band. Counts and jumps often scatter half as much again by chance, so twice their usual noise is
# where it begins; the level of a gauge does not. However noisy the hours before were, an outage is found.
_WIDENS_FROM, _GAUGE_WIDENS_FROM, _WIDEST = 2.0, 1.0, 3.0
# Of a slot without events that is normal by itself, siblings decide: from so many expected events on, which are all
# missing by chance in one slot of twenty. This is its strength.
EMPTY_FROM, EMPTY = 3.0, -1e-3
# A gauge has no counting noise: a small change may be many deviations. So it is not enough that both the change and the
# deviation are at their least: their product, each as a share of its least, has to be this large.
_BOTH = 1.5


@dataclass(frozen=True)
class Jump:
    """A gauge's slots, compared with the slot before each; arrays [positions, series].

    Attributes:
        base: the value that would be as far from the expected one as the slot before.
        sigma: the standard deviation of the distance from `base`.
        score: the distance from `base` in standard deviations.
    """

    base: Floats
    sigma: Floats
    score: Floats


@dataclass(frozen=True)
class Window:
    """The slots up to each position, compared with what was expected; arrays [positions, series].

    Attributes:
        actual: their sum, or share.
        expected: the expected sum or share.
        low, high: the least and the largest value that is plausible, with `expected` between them.
        volume: what `minimum_volume` applies to: the larger size of the two; of a share, its trials.
        sigma: the standard deviation, on the scale on which it does not depend on the value; of a share, times √trials.
        score: the deviation from the nearest plausible value in standard deviations.
        jump: of one slot of a gauge, how it differs from the slot before.
    """

    actual: Floats
    expected: Floats
    low: Floats
    high: Floats
    volume: Floats
    sigma: Floats
    score: Floats
    jump: Jump | None = None


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
    wide = _widening(one.score, slots, _GAUGE_WIDENS_FROM if series.is_gauge else _WIDENS_FROM)
    score = one.score[-slots:] / wide
    jump_wide = np.ones_like(wide) if one.jump is None else _widening(one.jump.score, slots, _WIDENS_FROM)
    if one.jump is not None:
        jump = one.jump.score[-slots:] / jump_wide
        score = np.where((np.sign(jump) == np.sign(score)) & (np.abs(jump) > np.abs(score)), jump, score)
    tests = (
        (Reason.THIS_SLOT, 1, config.slot_threshold, 0.0),
        (Reason.LAST_HOUR, HOUR, config.hour_threshold, _OWN),
        (Reason.LAST_TWO_HOURS, TWO_HOURS, config.two_hours_threshold, _OWN),
    )
    value = series.observed[-slots:]
    reason = np.full(value.shape, Reason.WITHIN_BAND, dtype=np.int8)
    shown, width = score.copy(), np.full(value.shape, config.slot_threshold)
    strength = np.zeros(value.shape)
    small, few = np.zeros(value.shape, dtype=bool), np.zeros(value.shape, dtype=bool)
    for name, length, threshold, least in tests:
        window = windows[length]
        total = score if length == 1 else window.score[-slots:] / wide
        now = (np.abs(score) >= least) & (np.sign(total) == np.sign(score))
        deviation = np.where(now, np.abs(total) / threshold, 0.0)
        change = _change(window)[-slots:] / max(config.minimum_change, TINY)
        if "minimum_change" in config.model_fields_set:  # a user's own minimum holds even if a sibling is anomalous
            change = np.where(change >= 1, change, 0.0)
        enough_volume = window.volume[-slots:] >= minimum_volume
        size = np.where(enough_volume, np.fmin(deviation, change), 0.0)
        if series.is_gauge:
            with np.errstate(invalid="ignore"):  # no deviation from an infinite change
                size = np.fmin(size, np.sqrt(deviation * change / _BOTH))
        strength = np.where(size > np.abs(strength), np.sign(total) * size, strength)
        fires = (size >= 1) & (reason == Reason.WITHIN_BAND)
        reason[fires] = name
        shown[fires] = total[fires]
        width[fires] = least or threshold
        small |= (deviation >= 1) & enough_volume & (size < 1)
        few |= (deviation >= 1) & ~enough_volume
    quiet = reason == Reason.WITHIN_BAND
    reason[quiet & small] = Reason.CHANGE_TOO_SMALL
    reason[quiet & few] = Reason.BELOW_MINIMUM_VOLUME
    if series.trials is None and not series.is_gauge:
        reason[~quiet & (value == 0)] = Reason.NO_DATA
        strength = np.where((value == 0) & (one.expected[-slots:] >= EMPTY_FROM), np.fmin(strength, EMPTY), strength)
    narrow = width < config.slot_threshold
    if series.is_gauge:
        lower, upper = _gauge_band(
            one, slots, width * wide, width * jump_wide, np.where(narrow, 0.0, config.minimum_change)
        )
    else:
        lower, upper = _band(series, one, slots, width * wide, narrow, limits)
    status = np.where(quiet, Status.NORMAL, Status.ANOMALOUS).astype(np.int8)
    expected = one.expected[-slots:]
    found = Detections(status, reason, value, expected, lower, upper, shown, strength)
    return found.where_unknown(~(enough[-slots:] & np.isfinite(expected)))


def _change(window: Window) -> Floats:
    """The size of the change as a share of the nearest plausible value."""
    nearest = np.clip(window.actual, window.low, window.high)
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.abs(window.actual / nearest - 1)
    return np.where(nearest != 0, change, np.where(window.actual != 0, np.inf, 0.0))


def _widening(scores: Floats, slots: int, usual: float) -> Floats:
    """The noise of the slots before each evaluated one as a multiple of `usual`, from 1 to _WIDEST."""
    before = np.abs(np.concatenate([np.full((NOISE_SLOTS, scores.shape[1]), np.nan), scores[:-1]]))
    ordered = np.sort(sliding_window_view(before, NOISE_SLOTS, axis=0)[-slots:], axis=-1)  # unknown ones come last
    count = np.isfinite(ordered).sum(axis=-1)
    middle = np.take_along_axis(ordered, (count // 2).clip(max=NOISE_SLOTS - 1)[..., None], axis=-1)[..., 0]
    noise = MAD_TO_SIGMA * np.nan_to_num(middle)
    return np.where(count >= NOISE_SLOTS // 2, np.clip(noise / usual, 1.0, _WIDEST), 1.0)


def _band(  # noqa: PLR0917
    series: SlotSeries, one: Window, slots: int, deviations: Floats, narrow: Booleans, limits: tuple[Seasonal, float]
) -> tuple[Floats, Floats]:
    """The band outside of which the slot is anomalous; where a longer window fired, that window's, which is narrower.

    The minimum change and the minimum volume widen it, so that no value outside of it is called normal.
    """
    config, minimum_volume = limits
    low, high, distance = one.low[-slots:], one.high[-slots:], deviations * one.sigma[-slots:]
    if series.trials is None:
        lower = np.maximum(np.sqrt(low + 0.375) - distance, 0.0) ** 2 - 0.375
        upper = (np.sqrt(high + 0.375) + distance) ** 2 - 0.375
        lower = np.where(one.expected[-slots:] < minimum_volume, 0.0, lower)
        upper = np.where(narrow, upper, np.maximum(upper, minimum_volume))
    else:
        trials = series.trials[-slots:]
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = distance / np.sqrt(trials)
            added = 0.375 / trials
        weight = 1 + 2 * added
        lower, upper = (
            np.sin(np.clip(np.arcsin(np.sqrt((rate + added) / weight)) + way * distance, 0.0, np.pi / 2)) ** 2 * weight
            - added
            for rate, way in ((np.clip(low, 0, 1), -1), (np.clip(high, 0, 1), 1))
        )
    lower = np.where(narrow, lower, np.minimum(lower, low * (1 - config.minimum_change)))
    upper = np.where(narrow, upper, np.maximum(upper, high * (1 + config.minimum_change)))
    return np.maximum(lower, 0.0), upper


def _gauge_band(
    one: Window, slots: int, deviations: Floats, jumps: Floats, minimum_change: Floats
) -> tuple[Floats, Floats]:
    """The band of a gauge: so far from the plausible values, and no jump."""
    assert one.jump is not None
    base, jump = one.jump.base[-slots:], jumps * one.jump.sigma[-slots:]
    edges = []
    for nearest, way, inner in ((one.low[-slots:], -1, np.fmax), (one.high[-slots:], 1, np.fmin)):
        least = minimum_change * np.abs(nearest)
        by_level = _edge(nearest, nearest, deviations * one.sigma[-slots:], least, way)
        edges.append(inner(by_level, _edge(base, nearest, jump, least, way)))
    return edges[0], edges[1]


def _edge(base: Floats, nearest: Floats, distance: Floats, least: Floats, way: int) -> Floats:
    """The value `distance` from `base` and `least` from the nearest plausible one, and _BOTH times their product."""
    both = np.sqrt(np.square((base - nearest) / 2) + _BOTH * distance * least)
    return way * np.maximum(np.maximum(way * base + distance, way * nearest + least), way * (base + nearest) / 2 + both)
