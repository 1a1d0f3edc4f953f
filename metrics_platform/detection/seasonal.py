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
contributes to that. Hours are compared at the level from before them. A gauge that drifts for hours has a large noise,
and is smooth from slot to slot all the same: there a *jump*, how much the deviation has changed since the slot before,
counts as well, compared with the jumps of the 16 days. Of counts, chance alone makes every slot jump.

Everything looks back a fixed number of slots (`LOOKBACK`), so that evaluating one slot and replaying a year agree.
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
    at,
    before,
    extended,
    level_of,
    levels_then,
    pooled,
    quantiles,
    running_sum,
    share_of_zeros,
    sizes_of_day,
)
from metrics_platform.detection.config import DetectorConfig
from metrics_platform.detection.series import SLOTS_A_DAY, Booleans, Detections, Floats, Reason, SlotSeries, Status

HOUR, TWO_HOURS = 4, 8
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
# How far a baseline looks back: the longest lag, the day before it that it is scaled by, and a clock change.
LOOKBACK = WARM_UP + (int(LAGS.max()) + 1) * SLOTS_A_DAY + AHEAD + 2 * HOUR

# A median of fewer days means little.
_MIN_DAYS = 5
# Fewer views than this may all be missing by chance: people come in sessions.
_MIN_TRIALS = 50.0
# A gauge that is zero at this share of the earlier days is made of few events, such as payments.
_OFTEN_ZERO = 0.3
_POISSON = 0.5  # the deviation of a Poisson count's square root, and of a share's arcsine root times √trials
_RELATIVE = 0.025  # metrics of people are never quieter than this
# Web metrics labelled by their operators: 3.3 measured deviations of a gauge are as telling as 4.5 of a count.
_GAUGE = 0.74
# A slot that fits badly counts as four deviations, however badly it fits: one outage does not choose the kind of day.
_WORST_FIT = 16.0
_BETTER_FIT = 4.0  # two deviations of one slot
# From here on a weekday is taken to be different from the others.
_WEEKLY = 3.0
_CHUNK = 1_000_000  # cells of [slots, series, lags] at a time: the memory of a replay stays small


def lookback(_config: DetectorConfig) -> int:
    """How many slots, up to and with the evaluated one, are read."""
    return LOOKBACK


def evaluate(series: SlotSeries, slots: int, config: DetectorConfig, holidays: Collection[int] = ()) -> Detections:
    """Evaluate the last `slots` slots of `series`.

    `holidays` are local dates as days since 1970. Each slot depends on the LOOKBACK slots up to it. Where some of these
    are missing, its baseline is made of fewer days.
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
    enough = run.baseline.count >= _MIN_DAYS
    cut = slice(None, len(days.positions) - AHEAD)
    found = _decide(series, slots, windows, enough[cut], config)
    if series.trials is None:
        return found
    usual = quantiles(at(series.trials, days.same[cut][-slots:]), (0.5,), days.weights[cut][-slots:])[0][0]
    missed = (series.trials[-slots:] == 0) & (usual >= EMPTY_FROM) & enough[cut][-slots:]
    # The share is unknown, but not what it means that nothing of its whole is there.
    score = (np.sqrt(0.375) - np.sqrt(usual + 0.375)) / _POISSON
    sure = missed & (usual >= max(config.minimum_volume, _MIN_TRIALS))
    numbers = {"score": score, "strength": np.where(sure, score / config.seasonal.slot_threshold, EMPTY)}
    silent = replace(
        found, **{name: np.where(missed, replacement, getattr(found, name)) for name, replacement in numbers.items()}
    )
    return silent.where_anomalous(sure, Reason.NO_DATA)


@dataclass(frozen=True)
class Jump:
    """A gauge's slots, compared with the slot before each; arrays [positions, series]."""

    # The value that would be as far from the expected one as the slot before.
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
    # The standard deviation, on the scale on which it does not depend on the value; of a share, times √trials.
    sigma: Floats
    # The deviation from the nearest plausible value in standard deviations.
    score: Floats
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
        return extended(self.series.values, self.days.positions)

    @cached_property
    def trials(self) -> Floats | None:
        return None if self.series.trials is None else extended(self.series.trials, self.days.positions)

    @property
    def _cut(self) -> slice:
        """Without the positions after the last slot."""
        return slice(None, len(self.days.positions) - AHEAD)

    @property
    def _trials_now(self) -> Floats | None:
        return None if self.trials is None else self.trials[self._cut]

    @cached_property
    def baseline(self) -> Baseline:
        return Baseline.of(self.series, self.days)

    @cached_property
    def levels(self) -> tuple[Floats, Floats]:
        """Today's level, of the usual and of the other kind of day."""
        base = self.baseline
        usual, other, plain = (self._sized(rate) for rate in (base.usual, base.other, base.plain))
        return level_of(self.series, self.actual, usual, plain), level_of(self.series, self.actual, other, other)

    @cached_property
    def levels_then(self) -> Floats:
        return levels_then(*self._then)

    @cached_property
    def _then(self) -> tuple[Floats, Floats]:
        """The earlier days' values and what was usual for them; of a share its successes."""
        base = self.baseline
        if self.series.trials is None:
            return base.then, base.usual[:, :, None]
        return at(self.series.values, self.days.same), base.usual[:, :, None] * self._trials_then

    @cached_property
    def _trials_then(self) -> Floats:
        assert self.series.trials is not None
        return at(self.series.trials, self.days.same)

    def _sized(self, rate: Floats) -> Floats:
        """The expected value; of a share its successes."""
        return rate if self.trials is None else rate * self.trials

    def window(self, length: int) -> Window:
        """The `length` slots up to each position, the positions after the last slot left out."""
        base, cut = self.baseline, self._cut
        level, other_level = (before(levels, length - 1)[cut] for levels in self.levels)
        sums = {
            name: running_sum(values, length)
            for name, values in {
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
        actual = running_sum(self.actual, length)[cut]
        trials = None if self.trials is None else running_sum(self.trials, length)[cut]
        sigma = self._sigma_of_slot if length == 1 else self._sigma(expected, trials, length)
        jump = self._jump(expected) if length == 1 and self.series.is_gauge else None
        alike = self.looks_like_other & np.isfinite(other)
        low, high = np.where(alike, np.fmin(low, other), low), np.where(alike, np.fmax(high, other), high)
        volume = np.fmax(np.abs(actual), np.abs(expected))
        if trials is None:
            return Window(actual, expected, low, high, volume, sigma, self._score(actual, low, high, None, sigma), jump)
        with np.errstate(divide="ignore", invalid="ignore"):
            rates = [np.where(trials > 0, successes / trials, np.nan) for successes in (actual, expected, low, high)]
        if length == 1:  # the expected rate is known, whether there are trials or not
            rates[1] = np.where(trials > 0, rates[1], base.usual[cut] * level)
        value, usual, least, most = rates
        return Window(value, usual, least, most, trials, sigma, self._score(actual, low, high, trials, sigma))

    def _weekly(self, reached: Floats) -> Floats:
        """What two of the last weeks reached, where that is unusual, and the usual value elsewhere."""
        usual, reached = self._sized(self.baseline.usual)[self._cut], self._sized(reached)[self._cut]
        far = np.abs(self._deviation(reached, usual, self._trials_now)) >= _WEEKLY * self._sigma_of_slot
        return np.where(far, reached, usual)

    def _score(self, actual: Floats, low: Floats, high: Floats, trials: Floats | None, sigma: Floats) -> Floats:
        """How many deviations `actual` is outside of the plausible values from `low` to `high`."""
        nearest = np.clip(actual, low, high)
        return np.asarray(self._deviation(actual, nearest, trials) / np.maximum(sigma, TINY))

    def _deviation(self, actual: Floats, expected: Floats, trials: Floats | None) -> Floats:
        """The deviation on the scale on which its size does not depend on the value's."""
        if trials is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.where(
                    trials > 0,
                    (arcsine((actual + 0.375) / (trials + 0.75)) - arcsine((expected + 0.375) / (trials + 0.75)))
                    * np.sqrt(trials),
                    np.nan,
                )
        if self.series.is_gauge:
            return actual - expected
        return np.sqrt(actual + 0.375) - np.sqrt(expected + 0.375)

    def _sigma(self, expected: Floats, trials: Floats | None, length: int) -> Floats:
        # Longer windows need their noise at the evaluated slots only, and where it is pooled from.
        start = 0 if length == 1 else max(0, len(expected) - self.slots - POOLED - length + 1)
        then, usual = (running_sum(numbers[start:], length) for numbers in self._then)
        trials_then = None if trials is None else running_sum(self._trials_then[start:], length)
        level = before(self.levels_then[start:], length - 1)
        noise = self._noise(self._deviation(then, usual * level, trials_then), start)
        if trials is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                rate = np.clip(expected / trials, 1e-6, 1 - 1e-6)
            sigma = np.maximum(np.maximum(noise, _POISSON), _RELATIVE / 2 * np.sqrt(rate / (1 - rate) * trials))
        elif self.series.is_gauge:
            return self._gauge_sigma(noise, expected)
        else:
            sigma = np.maximum(np.maximum(noise, _POISSON), _RELATIVE / 2 * np.sqrt(expected))
        return np.asarray(sigma * self.days.band[: len(expected), None])

    def _noise(self, left: Floats, start: int) -> Floats:
        """The noise at each evaluated position, from what the earlier days left over; 0 before position `start`."""
        typical = pooled(quantiles(np.abs(left), (0.5,), self.days.weights[start:])[0][0])
        noise = MAD_TO_SIGMA * np.nan_to_num(typical[: len(typical) - AHEAD])
        return np.concatenate([np.zeros((start, noise.shape[1])), noise])

    def _gauge_sigma(self, noise: Floats, expected: Floats) -> Floats:
        # The noise of a gauge grows with it, and the slots around an hourly batch are small.
        usual = np.abs(np.nan_to_num(self.baseline.usual))
        larger = np.maximum(usual / np.maximum(pooled(usual), TINY), 1.0)[: len(expected)]
        measured = np.maximum(noise * larger, np.maximum(_RELATIVE * np.abs(expected), TINY))
        return np.asarray(np.maximum(self._peak, _GAUGE * measured) * self.days.band[: len(expected), None])

    def _jump(self, expected: Floats) -> Jump:
        """How the deviation of each slot differs from that of the slot before."""
        then, usual = self._then
        left = then - usual * self.levels_then
        base = expected + before(self.actual[: len(expected)] - expected, 1)
        sigma = self._gauge_sigma(self._noise(left - before(left, 1), 0), expected)
        return Jump(base, sigma, (self.actual[: len(expected)] - base) / sigma)

    @cached_property
    def _peak(self) -> Floats:
        """The noise of a gauge of few events: as large as its values get. Its deviations are rare, their median 0."""
        same, weights = self.days.same[self._cut], self.days.weights[self._cut]
        zeros = share_of_zeros(at(self.series.values, same), weights)
        sizes = quantiles(at(sizes_of_day(self.series.values), same), (0.5,), weights)[0][0]
        return np.where(zeros >= _OFTEN_ZERO, np.nan_to_num(sizes), 0.0)

    @cached_property
    def looks_like_other(self) -> Booleans:
        """Where the hours before fit the other kind of day better, or the day is a known holiday."""
        misfits = []
        for base, level in zip((self.baseline.usual, self.baseline.other), self.levels, strict=True):
            expected = (self._sized(base) * level)[self._cut]
            deviation = self._deviation(self.actual[self._cut], expected, self._trials_now)
            misfit = np.square(deviation / self._sigma_of_slot)
            misfits.append(before(running_sum(np.nan_to_num(np.fmin(misfit, _WORST_FIT)), FIT_SLOTS, 0.0), 1, 0.0))
        return np.asarray((misfits[1] + _BETTER_FIT <= misfits[0]) | self.days.holiday[self._cut, None])

    @cached_property
    def _sigma_of_slot(self) -> Floats:
        expected = (self._sized(self.baseline.usual) * self.levels[0])[self._cut]
        return self._sigma(expected, self._trials_now, 1)


def _decide(
    series: SlotSeries, slots: int, windows: Mapping[int, Window], enough: Booleans, config: DetectorConfig
) -> Detections:
    """The answers for the last `slots` slots, from the windows of one slot, an hour and two hours up to each.

    `enough`: where the baseline is made of enough days.
    """
    limits = config.seasonal
    one = windows[1]
    wide = _widening(one.score, slots, _GAUGE_WIDENS_FROM if series.is_gauge else _WIDENS_FROM)
    score = one.score[-slots:] / wide
    jump_wide = np.ones_like(wide) if one.jump is None else _widening(one.jump.score, slots, _WIDENS_FROM)
    if one.jump is not None:
        jump = one.jump.score[-slots:] / jump_wide
        score = np.where((np.sign(jump) == np.sign(score)) & (np.abs(jump) > np.abs(score)), jump, score)
    tests = (
        (Reason.THIS_SLOT, 1, limits.slot_threshold, 0.0),
        (Reason.LAST_HOUR, HOUR, limits.hour_threshold, _OWN),
        (Reason.LAST_TWO_HOURS, TWO_HOURS, limits.two_hours_threshold, _OWN),
    )
    value = series.observed[-slots:]
    reason = np.full(value.shape, Reason.WITHIN_BAND, dtype=np.int8)
    shown, width = score.copy(), np.full(value.shape, limits.slot_threshold)
    strength = np.zeros(value.shape)
    small, few = np.zeros(value.shape, dtype=bool), np.zeros(value.shape, dtype=bool)
    for name, length, threshold, least in tests:
        window = windows[length]
        total = score if length == 1 else window.score[-slots:] / wide
        now = (np.abs(score) >= least) & (np.sign(total) == np.sign(score))
        deviation = np.where(now, np.abs(total) / threshold, 0.0)
        change = _change(window)[-slots:] / max(limits.minimum_change, TINY)
        if "minimum_change" in limits.model_fields_set:  # a user's own minimum holds even if a sibling is anomalous
            change = np.where(change >= 1, change, 0.0)
        enough_volume = window.volume[-slots:] >= config.minimum_volume
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
    narrow = width < limits.slot_threshold
    if series.is_gauge:
        lower, upper = _gauge_band(
            one, slots, width * wide, width * jump_wide, np.where(narrow, 0.0, limits.minimum_change)
        )
    else:
        lower, upper = _band(series, one, slots, width * wide, narrow, config)
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
    series: SlotSeries, one: Window, slots: int, deviations: Floats, narrow: Booleans, config: DetectorConfig
) -> tuple[Floats, Floats]:
    """The band outside of which the slot is anomalous; where a longer window fired, that window's, which is narrower.

    The minimum change and the minimum volume widen it, so that no value outside of it is called normal.
    """
    low, high, distance = one.low[-slots:], one.high[-slots:], deviations * one.sigma[-slots:]
    if series.trials is None:
        lower = np.maximum(np.sqrt(low + 0.375) - distance, 0.0) ** 2 - 0.375
        upper = (np.sqrt(high + 0.375) + distance) ** 2 - 0.375
        lower = np.where(one.expected[-slots:] < config.minimum_volume, 0.0, lower)
        upper = np.where(narrow, upper, np.maximum(upper, config.minimum_volume))
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
    lower = np.where(narrow, lower, np.minimum(lower, low * (1 - config.seasonal.minimum_change)))
    upper = np.where(narrow, upper, np.maximum(upper, high * (1 + config.seasonal.minimum_change)))
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
