"""The default detector: a slot against the same time of day on the days before, as the day goes today.

*Expected*: of 16 days (the last 14, and 21 and 28 days ago) the same local time with its two neighbours, each scaled by
how the last three days compare with the three before it, the weighted median: same weekday 2, same kind of day 1,
working day against weekend 0.3. Times *today's level*: recent actual over recent expected, pulled to 1.
*Noise*: the weighted median deviation of the same 16 days from that median, over the last nine slots, never below
Poisson, wider after noisy hours. Hours have a noise of their own, measured on the same hours of these days.
All deviations are taken where their size does not depend on the count's: square root; of rates arcsine root.
*Alert* when the slot, the last hour or the last two hours lie too many deviations away, and the slot takes part in it.

The numbers below were chosen by the back-test: `metrics-platform backtest --generated 500`.

Everything looks back a fixed number of slots (`REACH`), so that judging one slot and replaying a year agree.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from metrics_platform.detection.config import Seasonal
from metrics_platform.detection.decide import HOUR, NOISE_SLOTS, TWO_HOURS, Window, beyond_alone, decide
from metrics_platform.detection.judgement import Judgements
from metrics_platform.detection.series import SLOTS_A_DAY, Floats, Integers, SlotSeries

LAGS = np.array([*range(1, 15), 21, 28])
# A day's ratio to another is the median over blocks of four hours of the last three days: neither an outage of hours
# nor a holiday pulls it away.
BLOCK = 16
BLOCKS = 18
LEVEL_SLOTS = 8
POOLED = 9
# Slots before the judged one for which a baseline is needed, and how far a baseline looks back: the longest lag, a
# clock change, the blocks of its ratio and the neighbour.
_WARM_UP = NOISE_SLOTS + LEVEL_SLOTS + POOLED
REACH = _WARM_UP + int(LAGS.max()) * SLOTS_A_DAY + BLOCK * (BLOCKS + 1) + 2 * HOUR

_SAME_WEEKDAY, _SAME_KIND, _OTHER_KIND, _HOLIDAY = 2.0, 1.0, 0.3, 0.1
# With fewer days there is no median to speak of.
_LEAST_DAYS = 5
_MAD_TO_SIGMA = 1.4826
_POISSON = 0.5  # the deviation of a Poisson count's square root, and of a rate's arcsine root times √trials
_RELATIVE = 0.03  # no metric of people is quieter than this
_TINY = 1e-9  # a gauge that has been constant at zero has no noise at all
# Today's level: a slot's weight halves in an hour, «as usual» weighs eight slots, and no slot moves it far.
_DECAY = 0.5 ** (1 / 4)
_PULL = 8.0
_LEVEL_BOUNDS = (0.75, 1.33)
_LEVEL_STEP = 0.15
_OUTLIER = 3.0
_HOLIDAY_BAND = 2.0
_CHUNK = 1_000_000  # cells of [slots, lags, series] at a time: the memory of a replay stays small


def judge(
    series: SlotSeries, slots: int, config: Seasonal, minimum_volume: float, holidays: Collection[int] = ()
) -> Judgements:
    """Judge the last `slots` slots of `series`.

    `holidays` are local dates as days since 1970. What is read of the history is REACH slots before each; what is
    missing of them lowers the number of days a baseline stands on.
    """
    first = max(0, series.length - slots - _WARM_UP)
    days = _Days(series, np.arange(first, series.length), holidays)
    lanes = series.values.shape[1]
    step = max(1, _CHUNK // max(1, lanes * len(LAGS)))
    pieces = [_baseline(days.part(start, start + step)) for start in range(0, len(days.positions), step)]
    base, count, deviation = (np.concatenate([piece[part] for piece in pieces]) for part in range(3))
    noise = _MAD_TO_SIGMA * _pooled(deviation)
    expected = base * _levels(series, days.positions, base, noise)
    windows = {1: _window(days, series.values[days.positions], expected, noise, 1)}
    # A slot that is anomalous by itself has been told so. Left in, it would carry the hours after it, too.
    limits = (config, minimum_volume)
    odd = beyond_alone(windows[1], limits)
    plain = expected if series.trials is None else expected * series.trials[days.positions]
    actual = np.where(odd, plain, series.values[days.positions])
    # Only the judged slots' longer windows are looked at: their noise is measured there and where it is pooled from.
    judged = days.part(max(0, len(days.positions) - slots - POOLED), len(days.positions))
    usual = base if series.trials is None else base * series.trials[days.positions]
    for length in (HOUR, TWO_HOURS):
        sums = _running_sum(usual, length)[-len(judged.positions) :]
        parts = [
            _deviation(judged.part(start, start + step), sums[start : start + step], length)
            for start in range(0, len(judged.positions), step)
        ]
        noise = np.full_like(expected, np.nan)
        noise[-len(judged.positions) :] = _MAD_TO_SIGMA * _pooled(np.concatenate(parts))
        windows[length] = _window(days, actual, expected, noise, length)
    return decide(series, slots, windows, count >= _LEAST_DAYS, limits)


class _Days:
    """For some positions the days they are compared with: where, with which weight, and at which scale."""

    def __init__(self, series: SlotSeries, positions: Integers, holidays: Collection[int]) -> None:
        self.series = series
        self.positions = positions
        self.holidays = holidays
        self.same = series.same_time(positions, LAGS)
        self.weights = _weights(series, positions, self.same, holidays)
        self._anchors = positions - (series.number + positions) % BLOCK
        self._scales = _scales(series, self._anchors) if series.trials is None else None

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


def _baseline(days: _Days) -> tuple[Floats, Floats, Floats]:
    """Base, number of days and median deviation of a slot, each [positions, series]."""
    series, same = days.series, days.same
    if series.trials is None:
        scale = days.scale
        base, count = _weighted_median(_around(series.values, same) * scale, days.weights)
        deviation = _even(series, _at(series.values, same) * scale) - _even(series, base)[:, :, None]
    else:
        successes, trials = _around(series.values, same), _around(series.trials, same)
        with np.errstate(divide="ignore", invalid="ignore"):
            base, count = _weighted_median(np.where(trials > 0, successes / trials, np.nan), days.weights)
            then = _at(series.trials, same)
            rates = _at(series.values, same) / then
        deviation = (_arcsine(rates) - _arcsine(base)[:, :, None]) * np.sqrt(then)
    return base, count, _weighted_median(np.abs(deviation), days.weights)[0]


def _deviation(days: _Days, sums: Floats, length: int) -> Floats:
    """How far the same `length` slots of each day usually lie from the expected `sums`, [positions, series].

    Measured and not reckoned from single slots: hours swing together.
    """
    series, same = days.series, days.same
    then = _at(_running_sum(series.values, length), same)
    if series.trials is None:
        deviation = _even(series, then * days.scale) - _even(series, sums)[:, :, None]
    else:
        trials = _running_sum(series.trials, length)
        with np.errstate(divide="ignore", invalid="ignore"):
            rates, usual = then / _at(trials, same), sums / trials[days.positions]
        deviation = (_arcsine(rates) - _arcsine(usual)[:, :, None]) * np.sqrt(_at(trials, same))
    return _weighted_median(np.abs(deviation), days.weights)[0]


def _weights(series: SlotSeries, positions: Integers, same: Integers, holidays: Collection[int]) -> Floats:
    """How much each day says about the judged one, [positions, lags]."""
    today = series.dates[positions]
    then = today[:, None] - LAGS[None, :]
    weekday, weekday_then = (today + 3) % 7, (then + 3) % 7  # 1970 began on a Thursday
    weights = np.where((weekday >= 5)[:, None] == (weekday_then >= 5), _SAME_KIND, _OTHER_KIND)
    weights = np.where(weekday[:, None] == weekday_then, _SAME_WEEKDAY, weights)
    weights = np.where(np.isin(then, list(holidays)), _HOLIDAY, weights)
    return np.where(same >= 0, weights, 0.0)


def _at(values: Floats, positions: Integers) -> Floats:
    """The values at positions [slots, lags], as [slots, series, lags]; NaN outside of the history."""
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
    """How the last days compare with the days before each lag's: begins of blocks, and [begins, series, lags].

    1 where not known. Taken at the begin of the slot's block, by the clock in UTC, and so once per block.
    """
    values = series.values
    anchors = np.unique(np.maximum(begins, 0))
    shift = series.same_time(anchors, LAGS) - anchors[:, None]
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(np.nan_to_num(values), axis=0)])
    known = np.concatenate([[0], np.cumsum(np.isfinite(values).any(axis=1))])
    found = np.empty((len(anchors), values.shape[1], len(LAGS)))
    for row, (anchor, shifts) in enumerate(zip(anchors, shift, strict=True)):
        ends = anchor - BLOCK * np.arange(BLOCKS)
        now, complete = _block(sums, known, ends)
        then, complete_then = _block(sums, known, ends + shifts[:, None])
        good = (complete & complete_then)[:, :, None] & (then > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(good, now / then, np.nan)
        # [lags, blocks, series] → [series, lags, blocks]
        median, _ = _weighted_median(np.moveaxis(ratios, 2, 0), np.moveaxis(np.where(good, then, 0.0), 2, 0))
        found[row] = np.where(np.isfinite(median) & (median > 0), median, 1.0)
    return anchors, found


def _block(sums: Floats, known: npt.NDArray[Any], end: Integers) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The sums of the blocks that end before the positions `end`, and whether the history has all their slots."""
    start = end - BLOCK
    inside = (start >= 0) & (end < len(sums))
    start, end = np.where(inside, start, 0), np.where(inside, end, 0)
    return sums[end] - sums[start], inside & (known[end] - known[start] == BLOCK)


def _weighted_median(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """The weighted median over the last axis and how many values it stands on; NaN where there are too few.

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


def _pooled(deviation: Floats) -> Floats:
    """The mean of each slot's deviation and those of the slots before it, as far as they are known."""
    total, count = np.zeros_like(deviation), np.zeros_like(deviation)
    for shift in range(min(POOLED, len(deviation))):
        part = deviation[: len(deviation) - shift]
        total[shift:] += np.nan_to_num(part)
        count[shift:] += np.isfinite(part)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _levels(series: SlotSeries, positions: Integers, base: Floats, deviation: Floats) -> Floats:
    """Today's level at each position, from the LEVEL_SLOTS before it; 1 where nothing is known of them."""
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
    pull = _PULL * sum(usual[step : step + count] for step in range(LEVEL_SLOTS)) / LEVEL_SLOTS
    above, below, level = np.zeros_like(pull), np.zeros_like(pull), np.ones_like(pull)
    for step in range(LEVEL_SLOTS):
        value, plain, valid = (part[step : step + count] for part in (actual, usual, known))
        meant = plain * level
        sigma = noise[step : step + count]
        if series.has_counting_noise:
            room = np.maximum(_LEVEL_STEP * meant, 2.5 * np.sqrt(meant))
            odd = np.abs(np.sqrt(value) - np.sqrt(meant)) > _OUTLIER * np.maximum(sigma, _POISSON)
        elif series.trials is None:
            room = np.maximum(_LEVEL_STEP * np.abs(meant), 2.5 * sigma)
            odd = np.abs(value - meant) > _OUTLIER * np.maximum(sigma, _RELATIVE * np.abs(meant))
        else:
            room = np.maximum(_LEVEL_STEP * meant, 2.5 * np.sqrt(meant))
            odd = np.abs(value - meant) > 2 * _OUTLIER * np.maximum(np.sqrt(meant), _POISSON)
        use = valid & ~odd
        above = _DECAY * above + np.where(use, np.clip(value, meant - room, meant + room), 0.0)
        below = _DECAY * below + np.where(use, plain, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            level = np.where(below + pull > 0, (above + pull) / (below + pull), 1.0)
        level = np.clip(level, *_LEVEL_BOUNDS)
    return level


def _even(series: SlotSeries, values: Floats) -> Floats:
    """The values on the scale on which their deviation does not depend on their size: counts as square roots."""
    return np.sqrt(values) if series.has_counting_noise else values


def _arcsine(rates: Floats) -> Floats:
    return np.arcsin(np.sqrt(np.clip(rates, 0.0, 1.0)))


def _running_sum(values: Floats, length: int) -> Floats:
    """The sum over each slot and the `length - 1` before it; NaN where one is not known or lies before the first."""
    if length == 1:
        return values
    total = np.full_like(values, np.nan)
    if len(values) >= length:
        total[length - 1 :] = sum(values[shift : len(values) - length + 1 + shift] for shift in range(length))
    return total


def _window(days: _Days, values: Floats, expected: Floats, noise: Floats, length: int) -> Window:
    """What was found in the `length` slots up to each position."""
    series, positions = days.series, days.positions
    noise = noise * np.where(np.isin(series.dates[positions], list(days.holidays)), _HOLIDAY_BAND, 1.0)[:, None]
    actual = _running_sum(values, length)
    if series.trials is None:
        usual = _running_sum(expected, length)
        if not series.has_counting_noise:
            # A gauge may have any size: what counts is its own noise, and no number is too small to look at.
            sigma = np.maximum(noise, np.maximum(_RELATIVE * np.abs(usual), _TINY))
            return Window(actual, usual, np.full_like(actual, np.inf), sigma, (actual - usual) / sigma)
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
