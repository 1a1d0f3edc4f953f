"""The default detector: compares a slot with the same time of day on earlier days, at today's level.

*Expected* is a weighted median over 16 days: the last 14, and 21 and 28 days ago. The same weekday weighs 2, the same
kind of day 1, a working day against a weekend 0.3. Each day's value is scaled by how the last 24 hours compare with the
24 hours before that value. The medians of the two neighbouring slots smooth it, but only as far as the middle half of
the days reaches: so a sharp edge stays sharp, and where the past is zero, zero is expected. *Today's level*, the recent
actual over the recent expected value, multiplies it.

A deviation is measured from the nearest *plausible* value. These are plausible as well:
- the usual level, after a day that was different
- a value that two of the last four weeks reached at this hour of the week, for example after a weekly newsletter
- the other kind of day (a weekend or a working day), if the last hours fit it better, for example on a holiday

*Noise* is the median deviation of the same comparison on the 16 days, within 1.5 hours of this time of day. For counts
it is never below Poisson noise. Gauges and ratios often scatter further to one side, so their noise is measured on
either side: a tenth of the days lies beyond it. Noise is wider after noisy hours.

Deviations are measured on a scale where their size does not depend on the value: the square root for counts, gauges and
ratios, the arcsine root for shares. A gauge that was both above and below zero in the last four weeks is not
transformed.

A slot is *anomalous* if it, the last hour or the last two hours are too many deviations away, and the slot itself
contributes to that. Hours are compared at the level before them. A gauge that drifts for hours has large noise,
although it is smooth from slot to slot. So a *jump*, the change of the deviation since the previous slot, counts as
well, compared with the jumps of the 16 days. For counts, chance alone makes every slot jump.

Every result depends on a fixed number of slots (`LOOKBACK`), so evaluating one slot and replaying a year agree.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from metrics_platform.detection.baseline import (
    AHEAD,
    LAGS,
    MAD_TO_SIGMA,
    NOISE_SLOTS,
    TINY,
    WARM_UP,
    Days,
    quantiles,
    values_at,
)
from metrics_platform.detection.config import DetectorConfig
from metrics_platform.detection.series import SLOTS_A_DAY, Booleans, Detections, Floats, Reason, SlotSeries, Status
from metrics_platform.detection.windows import POISSON, Comparison, Window

HOUR, TWO_HOURS = 4, 8
# How many deviations the last slot of a longer window must be away itself, so that the alert is current.
_MIN_OWN_SCORE = 1.2
# Noisy hours widen the band. Counts and jumps often scatter by half as much again by chance, so for them this begins at
# twice the usual noise; for the level of a gauge it begins at once. The limit ensures that outages are always found.
_WIDENS_FROM, _GAUGE_WIDENS_FROM, _MAX_WIDENING = 2.0, 1.0, 3.0
# A slot without events that is normal by itself has this strength, so that siblings decide, if at least this many
# events were expected: all of them are missing by chance in one slot of twenty.
EMPTY_FROM, EMPTY = 3.0, -1e-3
# A gauge has no counting noise, so a small change may be many deviations. The product of the change and the deviation,
# each as a share of its threshold, must be at least this.
_BOTH = 1.5
# How far a baseline looks back: the longest lag, the day before it that it is scaled by, and a clock change.
LOOKBACK = WARM_UP + (int(LAGS.max()) + 1) * SLOTS_A_DAY + AHEAD + 2 * HOUR

# A median of fewer days means little.
_MIN_DAYS = 5
_CHUNK = 120_000  # cells of [slots, series, lags] at a time: they fit into the cache of a processor


def lookback(_config: DetectorConfig) -> int:
    """How many slots, up to and with the evaluated one, are read."""
    return LOOKBACK


def evaluate(series: SlotSeries, slots: int, config: DetectorConfig, holidays: Collection[int] = ()) -> Detections:
    """Evaluate the last `slots` slots of `series`.

    `holidays` are local dates as days since 1970. Each slot depends on the LOOKBACK slots up to it. If some of these
    are missing, its baseline uses fewer days.
    """
    days = Days.of(series, slots, holidays)
    step = max(1, _CHUNK // (len(days.positions) * len(LAGS)))
    count = series.values.shape[1]
    parts = [
        _evaluate(days, series.part(first, min(first + step, count)), slots, config)
        for first in range(0, max(count, 1), step)
    ]
    return Detections.combine(parts, lambda arrays: np.concatenate(arrays, axis=1))


def _evaluate(days: Days, series: SlotSeries, slots: int, config: DetectorConfig) -> Detections:
    comparison = Comparison(days, series, slots)
    windows = {length: comparison.window(length) for length in (1, HOUR, TWO_HOURS)}
    has_enough_days = comparison.baseline.count >= _MIN_DAYS
    cut = slice(None, len(days.positions) - AHEAD)
    detections = _decide(series, slots, windows, has_enough_days[cut], config)
    if series.trials is None:
        return detections
    usual = quantiles(values_at(series.trials, days.same[cut][-slots:]), (0.5,), days.weights[cut][-slots:])[0][0]
    missed = (series.trials[-slots:] == 0) & (usual >= EMPTY_FROM) & has_enough_days[cut][-slots:]
    # Views that are missing may be missing by chance: users come in sessions. So siblings decide, above all the views.
    score = np.where(missed, (np.sqrt(0.375) - np.sqrt(usual + 0.375)) / POISSON, detections.score)
    return replace(detections, score=score, strength=np.where(missed, EMPTY, detections.strength))


def _decide(
    series: SlotSeries, slots: int, windows: Mapping[int, Window], has_enough_days: Booleans, config: DetectorConfig
) -> Detections:
    """The results for the last `slots` slots, from the windows of one slot, an hour and two hours up to each.

    `has_enough_days`: where the baseline is based on enough days.
    """
    limits = config.seasonal
    slot_window = windows[1]
    widening = _widening(slot_window.score, slots, _GAUGE_WIDENS_FROM if series.is_gauge else _WIDENS_FROM)
    score = slot_window.score[-slots:] / widening
    jump_widening = (
        np.ones_like(widening) if slot_window.jump is None else _widening(slot_window.jump.score, slots, _WIDENS_FROM)
    )
    if slot_window.jump is not None:
        jump = slot_window.jump.score[-slots:] / jump_widening
        score = np.where((np.sign(jump) == np.sign(score)) & (np.abs(jump) > np.abs(score)), jump, score)
    tests = (
        (Reason.THIS_SLOT, 1, limits.slot_threshold, 0.0),
        (Reason.LAST_HOUR, HOUR, limits.hour_threshold, _MIN_OWN_SCORE),
        (Reason.LAST_TWO_HOURS, TWO_HOURS, limits.two_hours_threshold, _MIN_OWN_SCORE),
    )
    value = series.observed[-slots:]
    reason = np.full(value.shape, Reason.WITHIN_BAND, dtype=np.int8)
    shown_score, width = score.copy(), np.full(value.shape, limits.slot_threshold)
    strength = np.zeros(value.shape)
    is_small, is_low_volume = np.zeros(value.shape, dtype=bool), np.zeros(value.shape, dtype=bool)
    for name, length, threshold, min_own_score in tests:
        window = windows[length]
        total = score if length == 1 else window.score[-slots:] / widening
        is_current = (np.abs(score) >= min_own_score) & (np.sign(total) == np.sign(score))
        deviation = np.where(is_current, np.abs(total) / threshold, 0.0)
        change = _change(window)[-slots:] / max(limits.minimum_change, TINY)
        if "minimum_change" in limits.model_fields_set:  # a user's own minimum holds even if a sibling is anomalous
            change = np.where(change >= 1, change, 0.0)
        enough_volume = window.volume[-slots:] >= config.minimum_volume
        size = np.where(enough_volume, np.fmin(deviation, change), 0.0)
        if window.scale is not None:
            scaled_change = _scaled_change(window, limits.minimum_change)[-slots:]
            with np.errstate(invalid="ignore"):  # no deviation from an infinite change
                size = np.fmin(size, np.sqrt(deviation * scaled_change / _BOTH))
        strength = np.where(size > np.abs(strength), np.sign(total) * size, strength)
        fires = (size >= 1) & (reason == Reason.WITHIN_BAND)
        reason[fires] = name
        shown_score[fires] = total[fires]
        width[fires] = min_own_score or threshold
        is_small |= (deviation >= 1) & enough_volume & (size < 1)
        is_low_volume |= (deviation >= 1) & ~enough_volume
    is_normal = reason == Reason.WITHIN_BAND
    reason[is_normal & is_small] = Reason.CHANGE_TOO_SMALL
    reason[is_normal & is_low_volume] = Reason.BELOW_MINIMUM_VOLUME
    if series.trials is None and not series.is_gauge:
        reason[~is_normal & (value == 0)] = Reason.NO_DATA
        strength = np.where(
            (value == 0) & (slot_window.expected[-slots:] >= EMPTY_FROM), np.fmin(strength, EMPTY), strength
        )
    narrow = width < limits.slot_threshold
    if series.is_gauge:
        lower, upper = _gauge_band(
            slot_window, slots, width * widening, width * jump_widening, np.where(narrow, 0.0, limits.minimum_change)
        )
    else:
        lower, upper = _band(series, slot_window, slots, width * widening, narrow, config)
    status = np.where(is_normal, Status.NORMAL, Status.ANOMALOUS).astype(np.int8)
    expected = slot_window.expected[-slots:]
    detections = Detections(status, reason, value, expected, lower, upper, shown_score, strength)
    return detections.where_unknown(~(has_enough_days[-slots:] & np.isfinite(expected)))


def _change(window: Window) -> Floats:
    """The size of the change as a share of the nearest plausible value."""
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.abs(window.actual / window.nearest - 1)
    return np.where(window.nearest != 0, change, np.where(window.actual != 0, np.inf, 0.0))


def _scaled_change(window: Window, minimum: float) -> Floats:
    """The change of a gauge from the nearest plausible value on its scale, in units of the `minimum` change."""
    assert window.scale is not None
    nearest, minimum = window.nearest, max(minimum, TINY)
    grows = window.actual * np.sign(nearest) >= np.abs(nearest)
    origin, smallest = window.scale.of(nearest), window.scale.of(nearest * np.where(grows, 1 + minimum, 1 - minimum))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.abs((window.scale.of(window.actual) - origin) / (smallest - origin)))


def _widening(scores: Floats, slots: int, usual: float) -> Floats:
    """The noise of the slots before each evaluated one as a multiple of `usual`, from 1 to _MAX_WIDENING."""
    previous = np.abs(np.concatenate([np.full((NOISE_SLOTS, scores.shape[1]), np.nan), scores[:-1]]))
    ordered = np.sort(sliding_window_view(previous, NOISE_SLOTS, axis=0)[-slots:], axis=-1)  # unknown ones come last
    count = np.isfinite(ordered).sum(axis=-1)
    middle = np.take_along_axis(ordered, (count // 2).clip(max=NOISE_SLOTS - 1)[..., None], axis=-1)[..., 0]
    noise = MAD_TO_SIGMA * np.nan_to_num(middle)
    return np.where(count >= NOISE_SLOTS // 2, np.clip(noise / usual, 1.0, _MAX_WIDENING), 1.0)


def _band(  # noqa: PLR0917
    series: SlotSeries, slot_window: Window, slots: int, deviations: Floats, narrow: Booleans, config: DetectorConfig
) -> tuple[Floats, Floats]:
    """The band outside which a slot is anomalous; if a longer window fired, the narrower band of that window.

    The minimum change and the minimum volume widen it, so that no value outside it is called normal.
    """
    low, high, sigma = (values[-slots:] for values in (slot_window.low, slot_window.high, slot_window.noise.up))
    distance = deviations * sigma
    if series.trials is None:
        lower = np.maximum(np.sqrt(low + 0.375) - distance, 0.0) ** 2 - 0.375
        upper = (np.sqrt(high + 0.375) + distance) ** 2 - 0.375
        lower = np.where(slot_window.expected[-slots:] < config.minimum_volume, 0.0, lower)
        upper = np.where(narrow, upper, np.maximum(upper, config.minimum_volume))
    else:
        trials = series.trials[-slots:]
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = distance / np.sqrt(trials)
            added = 0.375 / trials
        weight = 1 + 2 * added
        lower, upper = (
            np.sin(np.clip(np.arcsin(np.sqrt((rate + added) / weight)) + sign * distance, 0.0, np.pi / 2)) ** 2 * weight
            - added
            for rate, sign in ((np.clip(low, 0, 1), -1), (np.clip(high, 0, 1), 1))
        )
    lower = np.where(narrow, lower, np.minimum(lower, low * (1 - config.seasonal.minimum_change)))
    upper = np.where(narrow, upper, np.maximum(upper, high * (1 + config.seasonal.minimum_change)))
    return np.maximum(lower, 0.0), upper


def _gauge_band(
    slot_window: Window, slots: int, deviations: Floats, jumps: Floats, minimum_change: Floats
) -> tuple[Floats, Floats]:
    """The band of a gauge: values close enough to the plausible ones, without a jump."""
    assert slot_window.jump is not None
    assert slot_window.scale is not None
    scale = slot_window.scale.last(slots)
    base, jump = slot_window.jump.base[-slots:], jumps * slot_window.jump.sigma[-slots:]
    edges = []
    for plausible, sigma, sign, inner in (
        (slot_window.low[-slots:], slot_window.noise.down[-slots:], -1, np.fmax),
        (slot_window.high[-slots:], slot_window.noise.up[-slots:], 1, np.fmin),
    ):
        nearest = scale.of(plausible)
        min_distance = np.abs(scale.of(plausible + sign * minimum_change * np.abs(plausible)) - nearest)
        by_level = _edge(nearest, nearest, deviations * sigma, min_distance, sign)
        edges.append(scale.values(inner(by_level, _edge(base, nearest, jump, min_distance, sign))))
    return edges[0], edges[1]


def _edge(base: Floats, nearest: Floats, distance: Floats, min_distance: Floats, sign: int) -> Floats:
    """The edge of a gauge's band: at least `distance` from `base` and `min_distance` from the nearest plausible value.

    The product of both distances must also be at least _BOTH times the product of these minimums.
    """
    both = np.sqrt(np.square((base - nearest) / 2) + _BOTH * distance * min_distance)
    return sign * np.maximum(
        np.maximum(sign * base + distance, sign * nearest + min_distance), sign * (base + nearest) / 2 + both
    )
