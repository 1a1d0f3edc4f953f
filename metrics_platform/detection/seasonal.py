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
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from metrics_platform.detection.baseline import (
    AHEAD,
    FIT_SLOTS,
    LAGS,
    MAD_TO_SIGMA,
    NOISE_SLOTS,
    POOLED,
    TINY,
    WARM_UP,
    Baseline,
    Days,
    arcsine,
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
from metrics_platform.detection.config import DetectorConfig
from metrics_platform.detection.series import SLOTS_A_DAY, Booleans, Detections, Floats, Reason, SlotSeries, Status

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
# Fewer views than this may all be missing by chance: users come in sessions.
_MIN_TRIALS = 50.0
# A gauge that is zero on this share of the earlier days is based on few events, such as payments.
_OFTEN_ZERO = 0.3
_POISSON = 0.5  # the deviation of a Poisson count's square root, and of a share's arcsine root times √trials
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
_CHUNK = 1_000_000  # cells of [slots, series, lags] at a time: the memory of a replay stays small


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
    run = _Run(days, series, slots)
    windows = {length: run.window(length) for length in (1, HOUR, TWO_HOURS)}
    has_enough_days = run.baseline.count >= _MIN_DAYS
    cut = slice(None, len(days.positions) - AHEAD)
    detections = _decide(series, slots, windows, has_enough_days[cut], config)
    if series.trials is None:
        return detections
    usual = quantiles(values_at(series.trials, days.same[cut][-slots:]), (0.5,), days.weights[cut][-slots:])[0][0]
    missed = (series.trials[-slots:] == 0) & (usual >= EMPTY_FROM) & has_enough_days[cut][-slots:]
    # The share itself is unknown, but a missing denominator is an outage.
    score = (np.sqrt(0.375) - np.sqrt(usual + 0.375)) / _POISSON
    is_certain = missed & (usual >= max(config.minimum_volume, _MIN_TRIALS))
    numbers = {"score": score, "strength": np.where(is_certain, score / config.seasonal.slot_threshold, EMPTY)}
    silent = replace(
        detections,
        **{name: np.where(missed, replacement, getattr(detections, name)) for name, replacement in numbers.items()},
    )
    return silent.where_anomalous(is_certain, Reason.NO_DATA)


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
        return np.where(is_linear, values, np.sign(values) * np.sqrt(np.abs(values)))

    def values(self, scaled: Floats) -> Floats:
        """The values of what is on the scale."""
        return np.where(self.is_linear, scaled, np.sign(scaled) * np.square(scaled))

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


@dataclass(frozen=True)
class _Run:
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
                "low": self._weekly(base.low),
                "high": self._weekly(base.high),
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

    def _weekly(self, reached: Floats) -> Floats:
        """The value that two of the last weeks reached, where that is unusual; elsewhere the usual value."""
        usual, reached = (
            self._scaled_to_trials(self.baseline.usual)[self._cut],
            self._scaled_to_trials(reached)[self._cut],
        )
        deviations = self._noise_of_slot.deviations(self._distance(reached, usual, self._current_trials))
        return np.where(np.abs(deviations) >= _WEEKLY, reached, usual)

    def _score(self, actual: Floats, low: Floats, high: Floats, trials: Floats | None, noise: Noise) -> Floats:
        """The number of deviations from `actual` to the plausible values between `low` and `high`."""
        return noise.deviations(self._distance(actual, np.clip(actual, low, high), trials))

    @cached_property
    def _scale(self) -> Scale:
        """The scale of a gauge at each position, by the signs of its values in the four weeks before."""
        signs = []
        for has_sign in (self.series.values > 0, self.series.values < 0):
            counts = np.concatenate([np.zeros((1, has_sign.shape[1]), dtype=np.int64), np.cumsum(has_sign, axis=0)])
            ends = np.clip(self.days.positions, 0, self.series.length)
            signs.append(counts[ends] > counts[np.maximum(ends - _FOUR_WEEKS, 0)])
        return Scale(signs[0] & signs[1])

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
        trials_then = None if trials is None else running_sum(self._earlier_trials[start:], length)
        level = lagged(self.earlier_levels[start:], length - 1)
        residuals = self._distance(earlier, usual * level, trials_then, start)
        weights = self.days.weights[start:]
        if self.series.is_gauge:
            lowest, highest = quantiles(residuals, (_TAIL, 1 - _TAIL), weights)[0][:2]
            tails = (self._pooled(np.maximum(tail, 0.0), 1 / _TAIL_SIGMAS, start) for tail in (-lowest, highest))
            return Noise(*(self._gauge_sigma(tail, expected) for tail in tails))
        typical = self._pooled(quantiles(np.abs(residuals), (0.5,), weights)[0][0], MAD_TO_SIGMA, start)
        sigma = np.maximum(typical, _POISSON)
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
            with np.errstate(invalid="ignore"):  # no deviation from an infinite change
                size = np.fmin(
                    size, np.sqrt(deviation * _scaled_change(window, limits.minimum_change)[-slots:] / _BOTH)
                )
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
    nearest = np.clip(window.actual, window.low, window.high)
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.abs(window.actual / nearest - 1)
    return np.where(nearest != 0, change, np.where(window.actual != 0, np.inf, 0.0))


def _scaled_change(window: Window, minimum: float) -> Floats:
    """A gauge's change from the nearest plausible value as a share of the `minimum` change, on the gauge's scale."""
    assert window.scale is not None
    nearest = np.clip(window.actual, window.low, window.high)
    way = np.where(window.actual * np.sign(nearest) < np.abs(nearest), -1.0, 1.0)
    scaled = window.scale.of(nearest)
    least = np.abs(window.scale.of(nearest * (1 + way * max(minimum, TINY))) - scaled)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.abs(window.scale.of(window.actual) - scaled) / least)


def _widening(scores: Floats, slots: int, usual: float) -> Floats:
    """The noise of the slots before each evaluated one as a multiple of `usual`, from 1 to _WIDEST."""
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
    low, high, distance = (
        slot_window.low[-slots:],
        slot_window.high[-slots:],
        deviations * slot_window.noise.up[-slots:],
    )
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
