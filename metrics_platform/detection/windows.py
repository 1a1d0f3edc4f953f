"""The windows of slots that `seasonal` evaluates, compared with earlier days: expected values, noise and deviations.

See `seasonal` for the terms.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from metrics_platform.detection.baseline import (
    AHEAD,
    FIT_SLOTS,
    MAD_TO_SIGMA,
    POOLED,
    TINY,
    Baseline,
    Days,
    arcsine,
    cumulative_sum,
    daily_peaks,
    earlier_levels,
    lagged,
    level_of,
    pool,
    quantiles,
    running_sum,
    share_of_zeros,
    slice_padded,
    values_at,
)
from metrics_platform.detection.series import SLOTS_A_DAY, Booleans, Floats, SlotSeries

# A gauge that is zero on this share of the earlier days is based on few events, such as payments.
_OFTEN_ZERO = 0.3
POISSON = 0.5  # the deviation of a Poisson count's square root, and of a share's arcsine root times √trials
_RELATIVE = 0.025  # metrics of human activity are never less noisy than this
# From web metrics that were labelled by their operators: 3.3 deviations of a gauge mean as much as 4.5 of a count.
_GAUGE = 0.74
# A tenth of a gauge's earlier deviations lies beyond its noise on either side. In a normal distribution, that is 1.28
# standard deviations from the mean.
_TAIL, _TAIL_SIGMAS = 0.1, 1.2816
_FOUR_WEEKS = 28 * SLOTS_A_DAY
# A misfit counts as four deviations at most, so that a single outage does not decide the kind of day.
_MAX_MISFIT = 16.0
_BETTER_FIT = 4.0  # two deviations of one slot
# From this many deviations on, a weekday counts as different from the others.
_WEEKLY = 3.0


@dataclass(frozen=True)
class Noise:
    """The standard deviations downwards and upwards; arrays [positions, series]."""

    down: Floats
    up: Floats

    def deviations(self, distance: Floats) -> Floats:
        """A distance in standard deviations of its side."""
        return np.asarray(distance / np.maximum(np.where(distance < 0, self.down, self.up), TINY))


@dataclass(frozen=True)
class Scale:
    """The scale of a gauge: the square root with the value's sign, or the value itself."""

    # Whether it is the value itself, [positions, series].
    is_linear: Booleans

    def of(self, values: Floats, first: int = 0) -> Floats:
        """Values on the scale; their first axis begins at position `first`, their second is series."""
        is_linear = self.is_linear[first : first + len(values)]
        is_linear = is_linear.reshape(is_linear.shape + (1,) * (values.ndim - 2))
        return np.where(is_linear, values, np.copysign(np.sqrt(np.abs(values)), values))

    def values(self, scaled: Floats) -> Floats:
        """The values of what is on the scale."""
        return np.where(self.is_linear, scaled, np.copysign(np.square(scaled), scaled))

    def last(self, slots: int) -> Scale:
        return Scale(self.is_linear[-slots:])


@dataclass(frozen=True)
class Jump:
    """A gauge's slots, compared with the slot before each; arrays [positions, series], on the gauge's scale."""

    # What would be as far from the expected value as the slot before.
    base: Floats
    # The standard deviation of the distance from `base`.
    sigma: Floats
    # The distance from `base` in standard deviations.
    score: Floats


@dataclass(frozen=True)
class Window:
    """The slots up to each position, compared with what was expected; arrays [positions, series]."""

    # Their sum, or share.
    actual: Floats
    # The expected sum or share.
    expected: Floats
    # The least and the largest value that is plausible, with `expected` between them.
    low: Floats
    high: Floats
    # What `minimum_volume` applies to: the larger size of the two; of a share, its trials.
    volume: Floats
    # The noise, on the scale on which it does not depend on the value; of a share, times √trials.
    noise: Noise
    # The deviation from the nearest plausible value in standard deviations.
    score: Floats
    # Of a gauge, its scale.
    scale: Scale | None = None
    # Of one slot of a gauge, how it differs from the slot before.
    jump: Jump | None = None

    @cached_property
    def nearest(self) -> Floats:
        """The plausible value that is nearest to the actual one."""
        return np.clip(self.actual, self.low, self.high)


@dataclass(frozen=True)
class Comparison:
    """The comparison of the slots of some series with their earlier days."""

    days: Days
    series: SlotSeries
    slots: int

    @cached_property
    def actual(self) -> Floats:
        return slice_padded(self.series.values, self.days.positions)

    @cached_property
    def trials(self) -> Floats | None:
        return None if self.series.trials is None else slice_padded(self.series.trials, self.days.positions)

    @property
    def _cut(self) -> slice:
        """A slice without the positions after the last slot."""
        return slice(None, len(self.days.positions) - AHEAD)

    @property
    def _current_trials(self) -> Floats | None:
        return None if self.trials is None else self.trials[self._cut]

    @cached_property
    def baseline(self) -> Baseline:
        return Baseline.of(self.series, self.days)

    @cached_property
    def levels(self) -> tuple[Floats, Floats]:
        """Today's level, of the usual and of the other kind of day."""
        base = self.baseline
        usual, other, plain = (self._scaled_to_trials(rate) for rate in (base.usual, base.other, base.plain))
        return level_of(self.series, self.actual, usual, plain), level_of(self.series, self.actual, other, other)

    @cached_property
    def earlier_levels(self) -> Floats:
        return earlier_levels(*self._earlier)

    @cached_property
    def _earlier(self) -> tuple[Floats, Floats]:
        """The earlier days' values, and the usual values; for a share, successes."""
        base = self.baseline
        if self.series.trials is None:
            return base.then, base.usual[:, :, None]
        return values_at(self.series.values, self.days.same), base.usual[:, :, None] * self._earlier_trials

    @cached_property
    def _earlier_trials(self) -> Floats:
        assert self.series.trials is not None
        return values_at(self.series.trials, self.days.same)

    def _scaled_to_trials(self, rate: Floats) -> Floats:
        """The expected value; for a share, successes."""
        return rate if self.trials is None else rate * self.trials

    def window(self, length: int) -> Window:
        """The window of `length` slots up to each position, without the positions after the last slot."""
        base, cut = self.baseline, self._cut
        level, other_level = (lagged(levels, length - 1)[cut] for levels in self.levels)
        sums = {
            name: running_sum(values, length)
            for name, values in {
                "usual": self._scaled_to_trials(base.usual)[cut],
                "other": self._scaled_to_trials(base.other)[cut],
                "plain": self._scaled_to_trials(base.plain)[cut],
                "low": self._weekly[0],
                "high": self._weekly[1],
            }.items()
        }
        expected, other = sums["usual"] * level, sums["other"] * other_level
        low = np.fmin(np.fmin(expected, sums["plain"]), sums["low"] * level)
        high = np.fmax(np.fmax(expected, sums["plain"]), sums["high"] * level)
        actual = running_sum(self.actual, length)[cut]
        trials = None if self.trials is None else running_sum(self.trials, length)[cut]
        noise = self._noise_of_slot if length == 1 else self._noise(expected, trials, length)
        jump = self._jump(expected) if length == 1 and self.series.is_gauge else None
        fits_other = self.fits_other_kind & np.isfinite(other)
        low, high = np.where(fits_other, np.fmin(low, other), low), np.where(fits_other, np.fmax(high, other), high)
        volume = np.fmax(np.abs(actual), np.abs(expected))
        if trials is None:
            score = self._score(actual, low, high, None, noise)
            scale = Scale(self._scale.is_linear[cut]) if self.series.is_gauge else None
            return Window(actual, expected, low, high, volume, noise, score, scale, jump)
        with np.errstate(divide="ignore", invalid="ignore"):
            rates = [np.where(trials > 0, successes / trials, np.nan) for successes in (actual, expected, low, high)]
        if length == 1:  # the expected rate is known, whether there are trials or not
            rates[1] = np.where(trials > 0, rates[1], base.usual[cut] * level)
        value, usual, low_rate, high_rate = rates
        return Window(value, usual, low_rate, high_rate, trials, noise, self._score(actual, low, high, trials, noise))

    @cached_property
    def _weekly(self) -> list[Floats]:
        """The lowest and the highest value that two of the last weeks reached, each the usual value if not unusual."""
        base = self.baseline
        usual, *reached_values = (self._scaled_to_trials(rate)[self._cut] for rate in (base.usual, base.low, base.high))
        weekly = []
        for reached in reached_values:
            deviations = self._noise_of_slot.deviations(self._distance(reached, usual, self._current_trials))
            weekly.append(np.where(np.abs(deviations) >= _WEEKLY, reached, usual))
        return weekly

    def _score(self, actual: Floats, low: Floats, high: Floats, trials: Floats | None, noise: Noise) -> Floats:
        """The number of deviations from `actual` to the plausible values between `low` and `high`."""
        return noise.deviations(self._distance(actual, np.clip(actual, low, high), trials))

    @cached_property
    def _scale(self) -> Scale:
        """The scale of a gauge at each position, by the signs of its values in the four weeks before."""
        ends = np.clip(self.days.positions, 0, self.series.length)
        counts = [cumulative_sum(has_sign) for has_sign in (self.series.values > 0, self.series.values < 0)]
        above, below = (count[ends] > count[np.maximum(ends - _FOUR_WEEKS, 0)] for count in counts)
        return Scale(above & below)

    def _distance(self, actual: Floats, expected: Floats, trials: Floats | None, first: int = 0) -> Floats:
        """The distance, on a scale where its size does not depend on the value; from position `first` on."""
        if trials is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.where(
                    trials > 0,
                    (arcsine((actual + 0.375) / (trials + 0.75)) - arcsine((expected + 0.375) / (trials + 0.75)))
                    * np.sqrt(trials),
                    np.nan,
                )
        if self.series.is_gauge:
            return self._scale.of(actual, first) - self._scale.of(expected, first)
        return np.sqrt(actual + 0.375) - np.sqrt(expected + 0.375)

    def _noise(self, expected: Floats, trials: Floats | None, length: int) -> Noise:
        # Longer windows need their noise only at the evaluated slots and those that are pooled with them.
        start = 0 if length == 1 else max(0, len(expected) - self.slots - POOLED - length + 1)
        earlier, usual = (running_sum(numbers[start:], length) for numbers in self._earlier)
        earlier_trials = None if trials is None else running_sum(self._earlier_trials[start:], length)
        level = lagged(self.earlier_levels[start:], length - 1)
        residuals = self._distance(earlier, usual * level, earlier_trials, start)
        weights = self.days.weights[start:]
        if self.series.is_gauge:
            lowest, highest = quantiles(residuals, (_TAIL, 1 - _TAIL), weights)[0][:2]
            tails = (self._pooled(np.maximum(tail, 0.0), 1 / _TAIL_SIGMAS, start) for tail in (-lowest, highest))
            return Noise(*(self._gauge_sigma(tail, expected) for tail in tails))
        typical = self._pooled(quantiles(np.abs(residuals), (0.5,), weights)[0][0], MAD_TO_SIGMA, start)
        sigma = np.maximum(typical, POISSON)
        if trials is None:
            sigma = np.maximum(sigma, _RELATIVE / 2 * np.sqrt(expected))
        else:
            with np.errstate(divide="ignore", invalid="ignore"):
                rate = np.clip(expected / trials, 1e-6, 1 - 1e-6)
            sigma = np.maximum(sigma, _RELATIVE / 2 * np.sqrt(rate / (1 - rate) * trials))
        sigma = np.asarray(sigma * self.days.band[: len(expected), None])
        return Noise(sigma, sigma)

    def _pooled(self, residual: Floats, factor: float, start: int) -> Floats:
        """`factor` times the residual around each evaluated position, from position `start` on; 0 before it."""
        around = pool(residual)
        noise = factor * np.nan_to_num(around[: len(around) - AHEAD])
        return np.concatenate([np.zeros((start, noise.shape[1])), noise])

    def _gauge_sigma(self, noise: Floats, expected: Floats) -> Floats:
        size = np.abs(self._scale.of(expected))
        relative = _RELATIVE * np.where(self._scale.is_linear[: len(expected)], size, size / 2)
        # The noise of a gauge grows with its value, and slots around an hourly batch have small values.
        usual = np.abs(self._scale.of(np.nan_to_num(self.baseline.usual)))
        larger = np.maximum(usual / np.maximum(pool(usual), TINY), 1.0)[: len(expected)]
        measured = np.maximum(noise * larger, np.maximum(relative, TINY))
        return np.asarray(np.maximum(self._peak, _GAUGE * measured) * self.days.band[: len(expected), None])

    def _jump(self, expected: Floats) -> Jump:
        """The change of each slot's deviation since the previous slot."""
        earlier, usual = self._earlier
        residuals = self._distance(earlier, usual * self.earlier_levels, None)
        actual, on_scale = self._scale.of(self.actual[: len(expected)]), self._scale.of(expected)
        base = on_scale + lagged(actual - on_scale, 1)
        typical = quantiles(np.abs(residuals - lagged(residuals, 1)), (0.5,), self.days.weights)[0][0]
        sigma = self._gauge_sigma(self._pooled(typical, MAD_TO_SIGMA, 0), expected)
        return Jump(base, sigma, (actual - base) / sigma)

    @cached_property
    def _peak(self) -> Floats:
        """The noise of a gauge with few events: its peak, because deviations are rare and their median is 0."""
        same, weights = self.days.same[self._cut], self.days.weights[self._cut]
        zeros = share_of_zeros(values_at(self.series.values, same), weights)
        sizes = quantiles(values_at(daily_peaks(self.series.values), same), (0.5,), weights)[0][0]
        return np.where(zeros >= _OFTEN_ZERO, self._scale.of(np.nan_to_num(sizes)), 0.0)

    @cached_property
    def fits_other_kind(self) -> Booleans:
        """Where the preceding hours fit the other kind of day better, or the day is a known holiday."""
        misfits = []
        for base, level in zip((self.baseline.usual, self.baseline.other), self.levels, strict=True):
            expected = (self._scaled_to_trials(base) * level)[self._cut]
            distance = self._distance(self.actual[self._cut], expected, self._current_trials)
            misfit = np.square(self._noise_of_slot.deviations(distance))
            misfits.append(lagged(running_sum(np.nan_to_num(np.fmin(misfit, _MAX_MISFIT)), FIT_SLOTS, 0.0), 1, 0.0))
        return np.asarray((misfits[1] + _BETTER_FIT <= misfits[0]) | self.days.holiday[self._cut, None])

    @cached_property
    def _noise_of_slot(self) -> Noise:
        expected = (self._scaled_to_trials(self.baseline.usual) * self.levels[0])[self._cut]
        return self._noise(expected, self._current_trials, 1)
