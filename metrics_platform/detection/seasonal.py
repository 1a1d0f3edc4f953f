"""The default detector: compares a slot with the same time of day on earlier days, at today's level.

*Expected* is a weighted median over 16 days: the last 14, and 21 and 28 days ago. The same weekday weighs 2, the same
kind of day 1, a working day against a weekend 0.3. Each day's value is scaled by how the last 24 hours compare with the
24 hours before that value. The medians of the two neighbouring slots smooth it, but only as far as the middle half of
the days reaches: so a sharp edge stays sharp, and where the past is zero, zero is expected. *Today's level*, the recent
actual over the recent expected value, multiplies it.

A deviation is counted from the nearest *plausible* value, because each of these is no news:
- the level is back at the usual one, after a day that was different
- two of the last four weeks had such a value at this hour of the week, as after a weekly newsletter
- the day looks like a weekend (or a weekend like a working day): its last hours fit better, as on a holiday

*Noise* is what the same comparison leaves over on the 16 days, within 1.5 hours of this time of day: the median
deviation. It is never below Poisson noise for counts, and it is wider after noisy hours.

Deviations are taken on a scale on which their size does not depend on the value's: the square root for counts, the
arcsine root for shares. Gauges and ratios are used as they are: they may be negative, and have no counting noise.

A slot is *anomalous* when it, the last hour or the last two hours are too many deviations away, and the slot itself
contributes to that. Hours are compared at the level from before them.

Everything looks back a fixed number of slots (`LOOKBACK`), so that evaluating one slot and replaying a year agree.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from metrics_platform.detection.config import Seasonal
from metrics_platform.detection.decide import HOUR, NOISE_SLOTS, TWO_HOURS, Window, decide
from metrics_platform.detection.detections import Detections, Reason
from metrics_platform.detection.series import SLOTS_A_DAY, Booleans, Floats, Integers, SlotSeries

LAGS = np.array([*range(1, 15), 21, 28])
_WEEKS = np.flatnonzero(LAGS % 7 == 0)
LEVEL_SLOTS = 16
# How long a day must have looked like one of the other kind.
FIT_SLOTS = 8
# Slots on either side over which noise is pooled: the sixteen days alone would make it a guess.
POOLED = 6
# Slots after the evaluated one whose past is used, for its noise: with their neighbours.
_AHEAD = POOLED + 1
# Slots before the evaluated one for which a baseline is needed, and how far a baseline looks back: the longest lag, the
# day before it that it is scaled by, and a clock change.
_WARM_UP = NOISE_SLOTS + FIT_SLOTS + LEVEL_SLOTS + POOLED + 2
LOOKBACK = _WARM_UP + (int(LAGS.max()) + 1) * SLOTS_A_DAY + _AHEAD + 2 * HOUR

_SAME_WEEKDAY, _SAME_KIND, _OTHER_KIND, _HOLIDAY = 2.0, 1.0, 0.3, 0.1
# The same kind of day, but not the day before: on Mondays the scale of other working days is that of a weekend.
_OTHER_SCALE = 0.5
# A median of fewer days means little.
_LEAST_DAYS = 5
# Fewer views than this may all be missing by chance: people come in sessions.
_LEAST_TRIALS = 50.0
_MAD_TO_SIGMA = 1.4826
# A gauge that is zero at this share of the earlier days is made of few events, such as payments.
_OFTEN_ZERO = 0.3
_POISSON = 0.5  # the deviation of a Poisson count's square root, and of a share's arcsine root times √trials
_RELATIVE = 0.04  # metrics of people are never quieter than this
# Web metrics labelled by their operators: 3.4 measured deviations of a gauge are as telling as 4 of a count.
_GAUGE = 0.85
_TINY = 1e-9  # a gauge that has been constant at zero has no noise at all
# Today's level: a slot's weight halves in an hour, the usual level weighs two slots, and no slot moves it far, so that
# an outage does not become the norm while it begins.
_DECAY = 0.5 ** (1 / 4)
_PULL = 2.0
_LEVEL_BOUNDS = (0.2, 5.0)
_LEVEL_STEP = 0.15
_LEVEL_SIGMAS = 2.5
# A slot that fits badly counts as four deviations, however badly it fits: one outage does not choose the kind of day.
_WORST_FIT = 16.0
_BETTER_FIT = 4.0  # two deviations of one slot
_HOLIDAY_BAND = 2.0
# From here on a weekday is taken to be different from the others.
_WEEKLY = 3.0
_CHUNK = 1_000_000  # cells of [slots, series, lags] at a time: the memory of a replay stays small


def evaluate(
    series: SlotSeries, slots: int, config: Seasonal, minimum_volume: float, holidays: Collection[int] = ()
) -> Detections:
    """Evaluate the last `slots` slots of `series`.

    `holidays` are local dates as days since 1970. Each slot depends on the LOOKBACK slots up to it. Where some of these
    are missing, its baseline is made of fewer days.
    """
    days = _Days.of(series, slots, holidays)
    step = max(1, _CHUNK // (len(days.positions) * len(LAGS)))
    count = series.values.shape[1]
    return Detections.side_by_side(
        _evaluate(days, series.part(first, min(first + step, count)), slots, config, minimum_volume)
        for first in range(0, max(count, 1), step)
    )


@dataclass(frozen=True)
class _Days:
    """The days that some positions are compared with; the same for all series.

    Attributes:
        positions: the slots that need a baseline: some before the evaluated ones, and _AHEAD after the last.
        same: the same local time on earlier days, [positions, lags]; negative: before the history.
        weights: how much each day counts, [positions, lags].
        other_weights: the same, if it were the other kind of day: a weekend, or a working day.
        holiday: which positions are on a known holiday.
    """

    positions: Integers
    same: Integers
    weights: Floats
    other_weights: Floats
    holiday: Booleans

    @classmethod
    def of(cls, series: SlotSeries, slots: int, holidays: Collection[int]) -> _Days:
        after = series.followed_by(_AHEAD)
        positions = np.arange(max(0, series.length - slots - _WARM_UP), after.length)
        same = after.same_time(positions, LAGS)
        today = after.dates[positions]
        then = today[:, None] - LAGS
        alike = _is_weekend(today)[:, None] == _is_weekend(then)
        alike_before = _is_weekend(today - 1)[:, None] == _is_weekend(then - 1)
        weights = np.select(
            [LAGS % 7 == 0, alike & alike_before, alike], [_SAME_WEEKDAY, _SAME_KIND, _OTHER_SCALE], _OTHER_KIND
        )
        off = np.isin(then, list(holidays))
        known = same >= 0
        return cls(
            positions,
            same,
            np.where(known, np.where(off, _HOLIDAY, weights), 0.0),
            np.where(known & ~alike & ~off, 1.0, 0.0),
            np.isin(today, list(holidays)),
        )


def _is_weekend(dates: Integers) -> Booleans:
    return np.asarray((dates + 3) % 7 >= 5)  # 1970 began on a Thursday


@dataclass(frozen=True)
class _Baseline:
    """What is usual at each position, before today's level; [positions, series] or [positions, series, lags].

    Of a share these are rates.

    Attributes:
        then: the earlier days' values, scaled to today.
        usual: the expected value; other: as if it were the other kind of day.
        plain: the expected value as if the last 24 hours had been like those before.
        low, high: what two of the last four weeks reached.
        count: of how many days it is made.
    """

    then: Floats
    usual: Floats
    other: Floats
    plain: Floats
    low: Floats
    high: Floats
    count: Floats


def _evaluate(days: _Days, series: SlotSeries, slots: int, config: Seasonal, minimum_volume: float) -> Detections:
    run = _Run(days, series, slots)
    windows = {length: run.window(length) for length in (1, HOUR, TWO_HOURS)}
    enough = run.baseline.count >= _LEAST_DAYS
    cut = slice(None, len(days.positions) - _AHEAD)
    found = decide(series, slots, windows, enough[cut], (config, minimum_volume))
    if series.trials is None:
        return found
    usual = _quantiles(_at(series.trials, days.same[cut][-slots:]), days.weights[cut][-slots:], (0.5,))[0][0]
    none = (series.trials[-slots:] == 0) & (usual >= max(minimum_volume, _LEAST_TRIALS)) & enough[cut][-slots:]
    # The share is unknown, but not what it means that nothing of its whole is there.
    score = (np.sqrt(0.375) - np.sqrt(usual + 0.375)) / _POISSON
    numbers = {"score": score, "strength": score / config.slot_threshold}
    silent = replace(found, **{name: np.where(none, each, getattr(found, name)) for name, each in numbers.items()})
    return silent.where_anomalous(none, Reason.NO_DATA)


@dataclass(frozen=True)
class _Run:
    """The comparison of the slots of some series with their earlier days."""

    days: _Days
    series: SlotSeries
    slots: int

    @cached_property
    def actual(self) -> Floats:
        """The values at the positions; unknown after the last slot."""
        return _extended(self.series.values, self.days.positions)

    @cached_property
    def trials(self) -> Floats | None:
        return None if self.series.trials is None else _extended(self.series.trials, self.days.positions)

    @cached_property
    def baseline(self) -> _Baseline:
        series, days = self.series, self.days
        if series.trials is None:
            scale = _scales(series, days)
            then = _at(series.values, days.same) * scale
            smooth: Callable[[Floats, Floats, Floats], Floats] = _smoothed
        else:
            scale = np.ones(1)
            with np.errstate(divide="ignore", invalid="ignore"):
                then = _around(series.values, days.same) / _around(series.trials, days.same)
            then[~np.isfinite(then)] = np.nan
            smooth = _middle
        (usual, count), (other, _) = (
            (smooth(*quantiles), known)
            for *quantiles, known in _quantiles(then, days.weights, (0.25, 0.5, 0.75), days.other_weights)
        )
        plain = usual
        if series.trials is None:
            plain = usual / np.median(scale[:, :, _WEEKS], axis=-1)
        weeks = np.sort(then[:, :, _WEEKS], axis=-1)  # unknown ones come last
        known = np.isfinite(weeks).sum(axis=-1)
        low = np.where(known >= 2, weeks[..., 1], usual)
        second = np.take_along_axis(weeks, np.maximum(known - 2, 0)[..., None], axis=-1)[..., 0]
        return _Baseline(then, usual, other, plain, low, np.where(known >= 2, second, usual), count)

    @cached_property
    def levels(self) -> tuple[Floats, Floats]:
        """Today's level, of the usual and of the other kind of day."""
        base = self.baseline
        return _level(self.series, self.actual, self._sized(base.usual)), _level(
            self.series, self.actual, self._sized(base.other)
        )

    @cached_property
    def levels_then(self) -> Floats:
        """The level that each earlier day had at this time, [positions, series, lags]."""
        then, usual = self._then
        good = np.isfinite(then) & np.isfinite(usual)
        sign = np.sign(usual)
        above = _recent(np.where(good, then * sign, 0.0), _DECAY)
        below = _recent(np.where(good, np.abs(usual), 0.0), _DECAY)
        pull = _PULL * below / _WEIGHT
        return _ratio(above + pull, below + pull)

    @cached_property
    def _then(self) -> tuple[Floats, Floats]:
        """The earlier days' values and what was usual for them; of a share its successes."""
        base = self.baseline
        if self.series.trials is None:
            return base.then, base.usual[:, :, None]
        return _at(self.series.values, self.days.same), base.usual[:, :, None] * self._trials_then

    @cached_property
    def _trials_then(self) -> Floats:
        assert self.series.trials is not None
        return _at(self.series.trials, self.days.same)

    def _sized(self, rate: Floats) -> Floats:
        """The expected value; of a share its successes."""
        return rate if self.trials is None else rate * self.trials

    def window(self, length: int) -> Window:
        """The `length` slots up to each position, the positions after the last slot left out."""
        base, cut = self.baseline, slice(None, len(self.days.positions) - _AHEAD)
        level, other_level = (_before(each, length - 1)[cut] for each in self.levels)
        sums = {
            name: _running_sum(each, length)
            for name, each in {
                "usual": self._sized(base.usual)[cut],
                "other": self._sized(base.other)[cut],
                "plain": self._sized(base.plain)[cut],
                "low": self._weekly(base.low),
                "high": self._weekly(base.high),
            }.items()
        }
        expected, other = sums["usual"] * level, sums["other"] * other_level
        low = np.fmin(np.fmin(expected, sums["plain"]), sums["low"] * level)
        high = np.fmax(np.fmax(expected, sums["plain"]), sums["high"] * level)
        actual = _running_sum(self.actual, length)[cut]
        trials = None if self.trials is None else _running_sum(self.trials, length)[cut]
        sigma = self._sigma_of_slot if length == 1 else self._sigma(expected, trials, length)
        alike = self.looks_like_other & np.isfinite(other)
        low, high = np.where(alike, np.fmin(low, other), low), np.where(alike, np.fmax(high, other), high)
        volume = np.fmax(np.abs(actual), np.abs(expected))
        if trials is None:
            return Window(actual, expected, low, high, volume, sigma, self._score(actual, low, high, None, sigma))
        with np.errstate(divide="ignore", invalid="ignore"):
            rates = [np.where(trials > 0, each / trials, np.nan) for each in (actual, expected, low, high)]
        if length == 1:  # the expected rate is known, whether there are trials or not
            rates[1] = np.where(trials > 0, rates[1], base.usual[cut] * level)
        value, usual, least, most = rates
        return Window(value, usual, least, most, trials, sigma, self._score(actual, low, high, trials, sigma))

    def _weekly(self, reached: Floats) -> Floats:
        """What two of the last weeks reached, where that is unusual, and the usual value elsewhere."""
        cut = slice(None, len(self.days.positions) - _AHEAD)
        usual, reached = self._sized(self.baseline.usual)[cut], self._sized(reached)[cut]
        trials = None if self.trials is None else self.trials[cut]
        far = np.abs(self._deviation(reached, usual, trials)) >= _WEEKLY * self._sigma_of_slot
        return np.where(far, reached, usual)

    def _score(self, actual: Floats, low: Floats, high: Floats, trials: Floats | None, sigma: Floats) -> Floats:
        """How many deviations `actual` is outside of the plausible values from `low` to `high`."""
        nearest = np.clip(actual, low, high)
        return np.asarray(self._deviation(actual, nearest, trials) / np.maximum(sigma, _TINY))

    def _deviation(self, actual: Floats, expected: Floats, trials: Floats | None) -> Floats:
        """The deviation on the scale on which its size does not depend on the value's."""
        if trials is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.where(
                    trials > 0,
                    (_arcsine((actual + 0.375) / (trials + 0.75)) - _arcsine((expected + 0.375) / (trials + 0.75)))
                    * np.sqrt(trials),
                    np.nan,
                )
        if self.series.is_gauge:
            return actual - expected
        return np.sqrt(actual + 0.375) - np.sqrt(expected + 0.375)

    def _sigma(self, expected: Floats, trials: Floats | None, length: int) -> Floats:
        """The standard deviation of a window."""
        # Longer windows need their noise at the evaluated slots only, and where it is pooled from.
        start = 0 if length == 1 else max(0, len(expected) - self.slots - POOLED - length + 1)
        then, usual = (_running_sum(each[start:], length) for each in self._then)
        trials_then = None if trials is None else _running_sum(self._trials_then[start:], length)
        level = _before(self.levels_then[start:], length - 1)
        left = np.abs(self._deviation(then, usual * level, trials_then))
        noise = np.zeros_like(expected)
        pooled = _pooled(_quantiles(left, self.days.weights[start:], (0.5,))[0][0])
        noise[start:] = _MAD_TO_SIGMA * np.nan_to_num(pooled[: len(pooled) - _AHEAD])
        if trials is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                rate = np.clip(expected / trials, 1e-6, 1 - 1e-6)
            sigma = np.maximum(np.maximum(noise, _POISSON), _RELATIVE / 2 * np.sqrt(rate / (1 - rate) * trials))
        elif self.series.is_gauge:
            measured = np.maximum(noise, np.maximum(_RELATIVE * np.abs(expected), _TINY))
            sigma = np.maximum(self._peak, _GAUGE * measured)
        else:
            sigma = np.maximum(np.maximum(noise, _POISSON), _RELATIVE / 2 * np.sqrt(expected))
        return np.asarray(sigma * np.where(self.days.holiday[: len(expected)], _HOLIDAY_BAND, 1.0)[:, None])

    @cached_property
    def _peak(self) -> Floats:
        """The noise of a gauge of few events: as large as its values get. Its deviations are rare, their median 0."""
        cut = slice(None, len(self.days.positions) - _AHEAD)
        same, weights = self.days.same[cut], self.days.weights[cut]
        zeros = _share_of_zeros(_at(self.series.values, same), weights)
        sizes = _quantiles(_at(_sizes_of_day(self.series.values), same), weights, (0.5,))[0][0]
        return np.where(zeros >= _OFTEN_ZERO, np.nan_to_num(sizes), 0.0)

    @cached_property
    def looks_like_other(self) -> Booleans:
        """Where the hours before fit the other kind of day better, or the day is a known holiday."""
        count = len(self.days.positions) - _AHEAD
        actual, trials = self.actual[:count], None if self.trials is None else self.trials[:count]
        misfits = []
        for base, level in zip((self.baseline.usual, self.baseline.other), self.levels, strict=True):
            expected = (self._sized(base) * level)[:count]
            misfit = np.square(self._deviation(actual, expected, trials) / self._sigma_of_slot)
            misfits.append(_before(_recent_sum(np.nan_to_num(np.fmin(misfit, _WORST_FIT)), FIT_SLOTS), 1, 0.0))
        return np.asarray((misfits[1] + _BETTER_FIT <= misfits[0]) | self.days.holiday[:count, None])

    @cached_property
    def _sigma_of_slot(self) -> Floats:
        count = len(self.days.positions) - _AHEAD
        expected = (self._sized(self.baseline.usual) * self.levels[0])[:count]
        return self._sigma(expected, None if self.trials is None else self.trials[:count], 1)


def _at(values: Floats, positions: Integers) -> Floats:
    """The values at the positions [slots, lags], as [slots, series, lags]; NaN outside the history."""
    inside = (positions >= 0) & (positions < len(values))
    taken = values[np.where(inside, positions, 0)]
    taken[~inside] = np.nan
    return np.ascontiguousarray(np.moveaxis(taken, 1, 2))


def _around(values: Floats, positions: Integers) -> Floats:
    """The sum of each position and its two neighbours, over those that are known."""
    return np.asarray(sum(np.nan_to_num(_at(values, positions + shift)) for shift in (-1, 0, 1)))


def _extended(values: Floats, positions: Integers) -> Floats:
    """The values at consecutive positions, NaN after the last."""
    missing = max(0, int(positions[-1]) + 1 - len(values))
    return np.concatenate([values[positions[0] :], np.full((missing, values.shape[1]), np.nan)])


def _scales(series: SlotSeries, days: _Days) -> Floats:
    """How the last 24 hours compare with the 24 hours before each earlier value, [positions, series, lags].

    1 where that is not known, and for a gauge around zero.
    """
    values = series.values
    finite = np.isfinite(values)
    first = max(0, int(days.same.min()) - SLOTS_A_DAY - _AHEAD) if (days.same >= 0).all() else 0
    sums, known = _cumulated(np.nan_to_num(values[first:])), _cumulated(finite[first:])
    sizes = _cumulated(np.abs(np.nan_to_num(values[first:]))) if series.is_gauge else sums
    # Baselines reach _AHEAD slots ahead, and what they are scaled by must not.
    now = days.positions[:, None] - _AHEAD
    today, before = (_mean_of_day(sums, sizes, known, end - first) for end in (now, days.same - _AHEAD))
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = today / before
    return np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)


def _mean_of_day(sums: Floats, sizes: Floats, known: Integers, end: Integers) -> Floats:
    """The mean of the 24 hours before each position of `end`, [slots, series, lags]; NaN where half are unknown."""
    begin = end - SLOTS_A_DAY
    inside = (begin >= 0) & (end < len(sums))
    begin, end = np.where(inside, begin, 0), np.where(inside, end, 0)
    count = known[end] - known[begin]
    total, size = sums[end] - sums[begin], sizes[end] - sizes[begin]
    good = inside[..., None] & (count >= SLOTS_A_DAY // 2) & (np.abs(total) >= size / 2)
    return np.moveaxis(np.where(good, total / np.maximum(count, 1), np.nan), 1, 2)


def _cumulated(values: Any) -> npt.NDArray[Any]:
    """Cumulative sums along the slots, beginning with zero."""
    kind = np.float64 if values.dtype == np.float64 else np.int32
    return np.concatenate([np.zeros((1, values.shape[1]), dtype=kind), np.cumsum(values, axis=0, dtype=kind)])


def _sizes_of_day(values: Floats) -> Floats:
    """The largest size of a value in the day up to each slot, [slots, series]."""
    largest, length = np.abs(np.nan_to_num(values)), 1
    while length < SLOTS_A_DAY:
        step = min(length, SLOTS_A_DAY - length)
        largest[step:] = np.maximum(largest[step:], largest[:-step])
        length += step
    return largest


def _quantiles(values: Floats, weights: Floats, shares: tuple[float, ...], *more: Floats) -> list[list[Floats]]:
    """Weighted quantiles over the last axis, and how many values they are made of; a list for each of the weights.

    NaN where there are none. `values` are [slots, series, lags], `weights` [slots, lags].
    """
    order = np.argsort(values, axis=-1)  # unknown values come last
    ordered = np.take_along_axis(values, order, axis=-1)
    unknown = np.isnan(ordered)
    found = []
    for each in (weights, *more):
        weight = np.take_along_axis(np.broadcast_to(each[:, None, :], values.shape), order, axis=-1)
        weight[unknown] = 0.0
        heights = np.cumsum(weight, axis=-1)
        total = heights[..., -1:]
        results = []
        for share in shares:
            place = np.argmax((heights >= share * total) & (heights > 0), axis=-1)[..., None]
            results.append(np.where(total > 0, np.take_along_axis(ordered, place, axis=-1), np.nan)[..., 0])
        found.append([*results, (weight > 0).sum(axis=-1)])
    return found


def _smoothed(low: Floats, middle: Floats, high: Floats) -> Floats:
    """The mean of each slot's median and its neighbours', which count as far as the middle half of the days reaches."""
    before, after = _before(middle, 1), np.concatenate([middle[1:], middle[-1:]])
    parts = [np.clip(np.where(np.isnan(each), middle, each), low, high) for each in (before, after)]
    return np.asarray((parts[0] + middle + parts[1]) / 3)


def _middle(_low: Floats, middle: Floats, _high: Floats) -> Floats:
    return middle


def _share_of_zeros(values: Floats, weights: Floats) -> Floats:
    """The weighted share of zeros among the known values, over the last axis."""
    weighted = np.where(np.isfinite(values), weights[:, None, :], 0.0)
    zeros = np.sum(weighted * (values == 0), axis=-1)
    return np.asarray(zeros / np.maximum(np.sum(weighted, axis=-1), _TINY))


def _pooled(deviation: Floats) -> Floats:
    """The mean of the deviations of each slot and of POOLED slots on either side, as far as they are known."""
    known = np.isfinite(deviation)
    pad = ((POOLED, POOLED), (0, 0))
    total, count = np.pad(np.where(known, deviation, 0.0), pad), np.pad(known, pad).astype(np.float64)
    size = len(deviation)
    shifts = range(2 * POOLED + 1)
    pooled, number = (np.sum([each[shift : shift + size] for shift in shifts], axis=0) for each in (total, count))
    return _ratio(pooled, number, np.nan)


def _level(series: SlotSeries, actual: Floats, usual: Floats) -> Floats:
    """Today's level at each position, from the LEVEL_SLOTS before it; 1 where none of them is known."""
    good = np.isfinite(actual) & np.isfinite(usual)
    sign = np.where(good, np.sign(usual), 0.0)  # a negative gauge grows downwards
    pad = ((LEVEL_SLOTS, 0), (0, 0))
    value, plain = (np.pad(np.where(good, each * sign, 0.0), pad) for each in (actual, usual))
    count = len(actual)
    above, below, level = np.zeros_like(actual), np.zeros_like(actual), np.ones_like(actual)
    pull = _PULL / LEVEL_SLOTS * sum(plain[step : step + count] for step in range(LEVEL_SLOTS))
    for step in range(LEVEL_SLOTS):
        meant = plain[step : step + count] * level
        room = _LEVEL_STEP * meant
        if not series.is_gauge:
            room = np.maximum(room, _LEVEL_SIGMAS * np.sqrt(meant))
        above = _DECAY * above + np.clip(value[step : step + count], meant - room, meant + room)
        below = _DECAY * below + plain[step : step + count]
        level = _ratio(above + pull, below + pull)
    return level


def _ratio(above: Any, below: Any, otherwise: float = 1.0) -> Floats:
    """The quotient, within the bounds of a level; `otherwise` where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(below > 0, above / below, otherwise)
    return np.asarray(np.clip(found, *_LEVEL_BOUNDS) if otherwise == 1.0 else found)


_WEIGHT = sum(_DECAY**step for step in range(LEVEL_SLOTS))


def _recent(values: Floats, decay: float) -> Floats:
    """The sum of the LEVEL_SLOTS values before each position, the latest first, each weighing `decay` of the next."""
    total, length = values, 1
    while length < LEVEL_SLOTS:
        total = total + decay**length * _before(total, length, 0.0)
        length *= 2
    return _before(total, 1, 0.0)


def _recent_sum(values: Floats, length: int) -> Floats:
    """The sum of the values up to each position, as far as there are any."""
    return np.asarray(sum(_before(values, shift, 0.0) for shift in range(length)))


def _before(values: Floats, slots: int, otherwise: float = np.nan) -> Floats:
    """The values `slots` positions before."""
    if not slots:
        return values
    found = np.full_like(values, otherwise)
    found[slots:] = values[: max(0, len(values) - slots)]
    return found


def _arcsine(rates: Floats) -> Floats:
    return np.arcsin(np.sqrt(np.clip(rates, 0.0, 1.0)))


def _running_sum(values: Floats, length: int) -> Floats:
    """The sum over each slot and the `length - 1` before it; NaN where one of them is not known."""
    return values if length == 1 else np.asarray(sum(_before(values, shift) for shift in range(length)))
