"""The default detector: compares a slot with the same time of day on earlier days, at today's level.

*Expected* is a weighted median over 16 days: the last 14, and 21 and 28 days ago. Each day contributes the same local
time with its two neighbours, scaled by how the last three days compare with the three days before it. The same weekday
weighs 2, the same kind of day 1, a working day against a weekend 0.3. The median is multiplied by *today's level*: the
recent actual over the recent expected value, pulled to 1.

*Noise* is the weighted median deviation of the same 16 days from that median, over the last nine slots. It is never
below Poisson noise for counts, and it is wider after noisy hours. Windows of an hour and of two hours have noise of
their own, measured on the same hours of these days.

Deviations are taken on a scale on which their size does not depend on the value's: the square root for counts, the
arcsine root for shares. Gauges and ratios are used as they are: they may be negative, and have no counting noise.

A slot is *anomalous* when it, the last hour or the last two hours are too many deviations away, and the slot itself
contributes to that.

The constants below were chosen with the back-test: `metrics-platform backtest --generated 500`.

Everything looks back a fixed number of slots (`LOOKBACK`), so that evaluating one slot and replaying a year agree.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from metrics_platform.detection.config import Seasonal
from metrics_platform.detection.decide import HOUR, NOISE_SLOTS, TWO_HOURS, Window, beyond_alone, decide
from metrics_platform.detection.detections import Detections
from metrics_platform.detection.series import SLOTS_A_DAY, Floats, Integers, SlotSeries

LAGS = np.array([*range(1, 15), 21, 28])
# A day's ratio to another is the median over blocks of four hours of the last three days, so that neither an outage of
# some hours nor a holiday distorts it.
BLOCK = 16
BLOCKS = 18
LEVEL_SLOTS = 8
POOLED = 9
# Slots before the evaluated one for which a baseline is needed, and how far a baseline looks back: the longest lag, a
# clock change, the blocks of its ratio and the neighbour.
_WARM_UP = NOISE_SLOTS + LEVEL_SLOTS + POOLED
LOOKBACK = _WARM_UP + int(LAGS.max()) * SLOTS_A_DAY + BLOCK * (BLOCKS + 1) + 2 * HOUR

_SAME_WEEKDAY, _SAME_KIND, _OTHER_KIND, _HOLIDAY = 2.0, 1.0, 0.3, 0.1
# A median of fewer days means little.
_LEAST_DAYS = 5
_MAD_TO_SIGMA = 1.4826
# A gauge that is zero at this share of the earlier days is made of few events, such as payments.
_OFTEN_ZERO = 0.3
_POISSON = 0.5  # the deviation of a Poisson count's square root, and of a share's arcsine root times √trials
_RELATIVE = 0.03  # metrics of people are never quieter than this
_TINY = 1e-9  # a gauge that has been constant at zero has no noise at all
# Today's level: a slot's weight halves in an hour, the usual level weighs eight slots, and no slot moves it far.
_DECAY = 0.5 ** (1 / 4)
_PULL = 8.0
_LEVEL_BOUNDS = (0.75, 1.33)
_LEVEL_STEP = 0.15
_OUTLIER = 3.0
_HOLIDAY_BAND = 2.0
_CHUNK = 1_000_000  # cells of [slots, lags, series] at a time: the memory of a replay stays small


def evaluate(
    series: SlotSeries, slots: int, config: Seasonal, minimum_volume: float, holidays: Collection[int] = ()
) -> Detections:
    """Evaluate the last `slots` slots of `series`.

    `holidays` are local dates as days since 1970. Each slot depends on the LOOKBACK slots up to it. Where some of these
    are missing, its baseline is made of fewer days.
    """
    first = max(0, series.length - slots - _WARM_UP)
    days = _Days(series, np.arange(first, series.length), holidays)
    step = max(1, _CHUNK // max(1, series.values.shape[1] * len(LAGS)))
    pieces = [_baseline(days.part(start, start + step)) for start in range(0, len(days.positions), step)]
    base, count, deviation, peak = (np.concatenate([piece[part] for piece in pieces]) for part in range(4))
    noise = np.maximum(_MAD_TO_SIGMA * _pooled(deviation), peak)
    expected = base * _levels(series, days.positions, base, noise)
    windows = {1: _window(days, series.values[days.positions], expected, noise, 1)}
    # A slot that is anomalous alone has had its alert. Left in, it would make the windows after it anomalous, too.
    limits = (config, minimum_volume)
    anomalous = beyond_alone(windows[1], limits)
    plain = expected if series.trials is None else expected * series.trials[days.positions]
    actual = np.where(anomalous, plain, series.values[days.positions])
    # Longer windows are needed for the evaluated slots only: their noise is measured there and where it is pooled from.
    evaluated = days.part(max(0, len(days.positions) - slots - POOLED), len(days.positions))
    usual = base if series.trials is None else base * series.trials[days.positions]
    for length in (HOUR, TWO_HOURS):
        sums = _running_sum(usual, length)[-len(evaluated.positions) :]
        parts = [
            _deviation(evaluated.part(start, start + step), sums[start : start + step], length)
            for start in range(0, len(evaluated.positions), step)
        ]
        noise = np.full_like(expected, np.nan)
        noise[-len(evaluated.positions) :] = _MAD_TO_SIGMA * _pooled(np.concatenate(parts))
        noise = np.maximum(noise, peak)
        windows[length] = _window(days, actual, expected, noise, length)
    return decide(series, slots, windows, count >= _LEAST_DAYS, limits)


class _Days:
    """The days that some positions are compared with: where they are, their weights and their scales."""

    def __init__(self, series: SlotSeries, positions: Integers, holidays: Collection[int]) -> None:
        self.series = series
        self.positions = positions
        self.holidays = holidays
        self.same = series.same_time(positions, LAGS)
        self.weights = _weights(series, positions, self.same, holidays)
        self._anchors = positions - (series.number + positions) % BLOCK
        self._scales = _scales(series, self._anchors) if series.trials is None else None
        self.sizes = _sizes_of_day(series.values) if series.is_gauge else None

    def part(self, start: int, end: int) -> _Days:
        """The same for some of the positions."""
        part = copy.copy(self)
        part.positions, part.same = self.positions[start:end], self.same[start:end]
        part.weights, part._anchors = self.weights[start:end], self._anchors[start:end]
        return part

    @property
    def scale(self) -> Floats:
        """How the last days compare with those before each day, [positions, series, lags]."""
        anchors, scales = self._scales or (np.empty(0, dtype=np.int64), np.empty(0))
        found: Floats = scales[np.searchsorted(anchors, np.maximum(self._anchors, 0))]
        return found


def _baseline(days: _Days) -> tuple[Floats, Floats, Floats, Floats]:
    """Base, number of days, median deviation and least noise of a slot, each [positions, series]."""
    series, same = days.series, days.same
    peak = np.zeros((len(days.positions), series.values.shape[1]))
    if series.trials is None:
        scale = days.scale
        base, count = _weighted_median(_around(series.values, same) * scale, days.weights)
        deviation = _stabilised(series, _at(series.values, same) * scale) - _stabilised(series, base)[:, :, None]
        if days.sizes is not None:
            # Its deviations are rare and large, so that their median says nothing: its noise is as large as it gets.
            often_zero = _share_of_zeros(_at(series.values, same), days.weights) >= _OFTEN_ZERO
            peak = np.where(often_zero, np.nan_to_num(_weighted_median(_at(days.sizes, same), days.weights)[0]), 0.0)
    else:
        successes, trials = _around(series.values, same), _around(series.trials, same)
        with np.errstate(divide="ignore", invalid="ignore"):
            base, count = _weighted_median(np.where(trials > 0, successes / trials, np.nan), days.weights)
            then = _at(series.trials, same)
            rates = _at(series.values, same) / then
        deviation = (_arcsine(rates) - _arcsine(base)[:, :, None]) * np.sqrt(then)
    return base, count, _weighted_median(np.abs(deviation), days.weights)[0], peak


def _deviation(days: _Days, sums: Floats, length: int) -> Floats:
    """The usual deviation of the same `length` slots of each day from the expected `sums`, [positions, series].

    It is measured and not derived from single slots, because neighbouring slots deviate together.
    """
    series, same = days.series, days.same
    then = _at(_running_sum(series.values, length), same)
    if series.trials is None:
        deviation = _stabilised(series, then * days.scale) - _stabilised(series, sums)[:, :, None]
    else:
        trials = _running_sum(series.trials, length)
        with np.errstate(divide="ignore", invalid="ignore"):
            rates, usual = then / _at(trials, same), sums / trials[days.positions]
        deviation = (_arcsine(rates) - _arcsine(usual)[:, :, None]) * np.sqrt(_at(trials, same))
    return _weighted_median(np.abs(deviation), days.weights)[0]


def _weights(series: SlotSeries, positions: Integers, same: Integers, holidays: Collection[int]) -> Floats:
    """How much each day counts for the evaluated one, [positions, lags]."""
    today = series.dates[positions]
    then = today[:, None] - LAGS[None, :]
    weekday, weekday_then = (today + 3) % 7, (then + 3) % 7  # 1970 began on a Thursday
    weights = np.where((weekday >= 5)[:, None] == (weekday_then >= 5), _SAME_KIND, _OTHER_KIND)
    weights = np.where(weekday[:, None] == weekday_then, _SAME_WEEKDAY, weights)
    weights = np.where(np.isin(then, list(holidays)), _HOLIDAY, weights)
    return np.where(same >= 0, weights, 0.0)


def _at(values: Floats, positions: Integers) -> Floats:
    """The values at the positions [slots, lags], as [slots, series, lags]; NaN outside the history."""
    inside = (positions >= 0) & (positions < len(values))
    taken = values[np.where(inside, positions, 0)]
    taken[~inside] = np.nan
    return np.moveaxis(taken, 1, 2)


def _around(values: Floats, positions: Integers) -> Floats:
    """The mean of each position and its two neighbours, over those that are known."""
    parts = [_at(values, positions + shift) for shift in (-1, 0, 1)]
    known = sum(np.isfinite(part).astype(np.float64) for part in parts)
    total = sum(np.nan_to_num(part) for part in parts)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(known > 0, total / known, np.nan)


def _scales(series: SlotSeries, begins: Integers) -> tuple[Integers, Floats]:
    """How the last days compare with the days before each lag: the begins of blocks, and [begins, series, lags].

    1 where that is not known, and for a gauge that changes its sign. It is taken once per block of the clock in UTC, at
    the block's begin.
    """
    values = series.values
    anchors = np.unique(np.maximum(begins, 0))
    shift = series.same_time(anchors, LAGS) - anchors[:, None]
    sums = _cumulated(np.nan_to_num(values))
    finite = np.isfinite(values)
    # A count without a row is zero. A gauge without one is unknown, so that its blocks are means of what is known.
    known = _cumulated(finite if series.is_gauge else np.any(finite, axis=1, keepdims=True))
    least = BLOCK // 2 if series.is_gauge else BLOCK
    found = np.empty((len(anchors), values.shape[1], len(LAGS)))
    for row, (anchor, shifts) in enumerate(zip(anchors, shift, strict=True)):
        ends = anchor - BLOCK * np.arange(BLOCKS)
        now, complete = _block(sums, known, ends, least)
        then, complete_then = _block(sums, known, ends + shifts[:, None], least)
        both = complete & complete_then
        good = both & (then != 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(good, now / then, np.nan)
        # Large blocks weigh more. A gauge's blocks scatter so much that weights by the earlier ones alone would make
        # every ratio too small.
        sizes = np.abs(then) + (np.abs(now) if series.is_gauge else 0.0)
        # [lags, blocks, series] → [series, lags, blocks]
        median, _ = _weighted_median(np.moveaxis(ratios, 2, 0), np.moveaxis(np.where(good, sizes, 0.0), 2, 0))
        changes_sign = (both & (now * then < 0)).any(axis=1).T
        found[row] = np.where(np.isfinite(median) & (median > 0) & ~changes_sign, median, 1.0)
    return anchors, found


def _cumulated(values: Any) -> npt.NDArray[Any]:
    """Cumulative sums along the slots, beginning with zero."""
    return np.concatenate([np.zeros((1, values.shape[1]), dtype=values.dtype), np.cumsum(values, axis=0)])


def _block(sums: Floats, known: npt.NDArray[Any], end: Integers, least: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The means of the blocks before the positions `end`, and whether `least` of their slots are in the history."""
    start = end - BLOCK
    inside = (start >= 0) & (end < len(sums))
    start, end = np.where(inside, start, 0), np.where(inside, end, 0)
    count = known[end] - known[start]
    return (sums[end] - sums[start]) / np.maximum(count, 1), inside[..., None] & (count >= least)


def _sizes_of_day(values: Floats) -> Floats:
    """The largest size of a value in the day up to each slot, [slots, series]."""
    largest, length = np.abs(np.nan_to_num(values)), 1
    while length < SLOTS_A_DAY:
        step = min(length, SLOTS_A_DAY - length)
        largest[step:] = np.maximum(largest[step:], largest[:-step])
        length += step
    return largest


def _weighted_median(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """The weighted median over the last axis, and the number of values it is made of; NaN where there are none.

    `weights` has the same shape, or lacks the axis before the last.
    """
    if weights.ndim < values.ndim:
        weights = np.broadcast_to(weights[:, None, :], values.shape)
    good = np.isfinite(values) & (weights > 0)
    order = np.argsort(np.where(good, values, np.inf), axis=-1)
    heights = np.cumsum(np.take_along_axis(np.where(good, weights, 0.0), order, axis=-1), axis=-1)
    middle = np.argmax(heights >= heights[..., -1:] / 2, axis=-1)[..., None]
    median = np.take_along_axis(values, np.take_along_axis(order, middle, axis=-1), axis=-1)[..., 0]
    count = good.sum(axis=-1).astype(np.float64)
    return np.where(count > 0, median, np.nan), count


def _share_of_zeros(values: Floats, weights: Floats) -> Floats:
    """The weighted share of zeros among the known values, over the last axis."""
    weighted = np.where(np.isfinite(values), weights[:, None, :], 0.0)
    zeros = np.sum(weighted * (values == 0), axis=-1)
    return np.asarray(zeros / np.maximum(np.sum(weighted, axis=-1), _TINY))


def _pooled(deviation: Floats) -> Floats:
    """The mean of the deviations of each slot and the slots before it, as far as they are known."""
    total, count = np.zeros_like(deviation), np.zeros_like(deviation)
    for shift in range(min(POOLED, len(deviation))):
        part = deviation[: len(deviation) - shift]
        total[shift:] += np.nan_to_num(part)
        count[shift:] += np.isfinite(part)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _levels(series: SlotSeries, positions: Integers, base: Floats, deviation: Floats) -> Floats:
    """Today's level at each position, from the LEVEL_SLOTS before it; 1 where none of them is known."""
    actual = series.values[positions]
    usual = base if series.trials is None else base * series.trials[positions]
    good = np.isfinite(actual) & np.isfinite(usual)
    actual, usual = np.where(good, actual, 0.0), np.where(good, usual, 0.0)
    # The slot LEVEL_SLOTS before each position comes first; what lies before the first position counts as unknown.
    pad = np.zeros((LEVEL_SLOTS, actual.shape[1]))
    actual, usual = np.concatenate([pad, actual]), np.concatenate([pad, usual])
    known = np.concatenate([pad.astype(bool), good])
    noise = np.concatenate([pad, np.nan_to_num(deviation)])
    count = len(positions)
    # Counts are weighed as Poisson's are. Gauges are fitted by least squares, which holds for any sign.
    size = usual if not series.is_gauge else usual**2
    pull = _PULL * sum(size[step : step + count] for step in range(LEVEL_SLOTS)) / LEVEL_SLOTS
    above, below, level = np.zeros_like(pull), np.zeros_like(pull), np.ones_like(pull)
    for step in range(LEVEL_SLOTS):
        value, plain, valid = (part[step : step + count] for part in (actual, usual, known))
        meant = plain * level
        sigma = noise[step : step + count]
        if series.is_gauge:
            room = np.maximum(_LEVEL_STEP * np.abs(meant), 2.5 * sigma)
            outlier = np.abs(value - meant) > _OUTLIER * np.maximum(sigma, _RELATIVE * np.abs(meant))
        else:
            room = np.maximum(_LEVEL_STEP * meant, 2.5 * np.sqrt(meant))
            outlier = (
                np.abs(np.sqrt(value) - np.sqrt(meant)) > _OUTLIER * np.maximum(sigma, _POISSON)
                if series.trials is None
                else np.abs(value - meant) > 2 * _OUTLIER * np.maximum(np.sqrt(meant), _POISSON)
            )
        use = valid & ~outlier
        clipped = np.clip(value, meant - room, meant + room)
        weight = plain if series.is_gauge else 1.0
        above = _DECAY * above + np.where(use, clipped * weight, 0.0)
        below = _DECAY * below + np.where(use, plain * weight, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            level = np.where(below + pull > 0, (above + pull) / (below + pull), 1.0)
        level = np.clip(level, *_LEVEL_BOUNDS)
    return level


def _stabilised(series: SlotSeries, values: Floats) -> Floats:
    """The values on the scale on which their deviation does not depend on their size: square roots of counts."""
    return values if series.is_gauge else np.sqrt(values)


def _arcsine(rates: Floats) -> Floats:
    return np.arcsin(np.sqrt(np.clip(rates, 0.0, 1.0)))


def _running_sum(values: Floats, length: int) -> Floats:
    """The sum over each slot and the `length - 1` before it; NaN where one of them is not known."""
    if length == 1:
        return values
    total = np.full_like(values, np.nan)
    if len(values) >= length:
        total[length - 1 :] = sum(values[shift : len(values) - length + 1 + shift] for shift in range(length))
    return total


def _window(days: _Days, values: Floats, expected: Floats, noise: Floats, length: int) -> Window:
    """The `length` slots up to each position, compared with what was expected."""
    series, positions = days.series, days.positions
    noise = noise * np.where(np.isin(series.dates[positions], list(days.holidays)), _HOLIDAY_BAND, 1.0)[:, None]
    actual = _running_sum(values, length)
    if series.trials is None:
        usual = _running_sum(expected, length)
        if series.is_gauge:
            sigma = np.maximum(noise, np.maximum(_RELATIVE * np.abs(usual), _TINY))
            size = np.maximum(np.abs(actual), np.abs(usual))
            return Window(actual, usual, size, sigma, (actual - usual) / sigma)
        sigma = np.maximum(np.maximum(noise, _POISSON), _RELATIVE / 2 * np.sqrt(usual))
        score = (np.sqrt(actual + 0.375) - np.sqrt(usual + 0.375)) / sigma
        return Window(actual, usual, np.maximum(actual, usual), sigma, score)
    trials = series.trials[positions]
    with np.errstate(divide="ignore", invalid="ignore"):
        usual = _running_sum(expected * trials, length)
        trials = _running_sum(trials, length)
        rates = np.where(trials > 0, usual / trials, expected if length == 1 else np.nan)
        bounded = np.clip(rates, 1e-6, 1 - 1e-6)
        sigma = np.maximum(noise, _POISSON) / np.sqrt(trials)
        sigma = np.maximum(sigma, _RELATIVE / 2 * np.sqrt(bounded / (1 - bounded)))
        score = (_arcsine((actual + 0.375) / (trials + 0.75)) - _arcsine(rates)) / sigma
        return Window(actual / trials, rates, trials, sigma, np.where(trials > 0, score, np.nan))
