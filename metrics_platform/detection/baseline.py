"""What is usual in a slot: a weighted median of the same time on earlier days, scaled to today, and today's level.

Arrays are [slots, series] and [slots, series, lags].
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metrics_platform.detection.series import SLOTS_A_DAY, Booleans, Floats, Integers, SlotSeries

TINY = 1e-9  # in place of zero, where it is divided by
MAD_TO_SIGMA = 1.4826  # a normal distribution's standard deviation, in median deviations
# Slots on either side over which noise is pooled: the sixteen days alone would make it a guess.
POOLED = 6


def at(values: Floats, positions: Integers) -> Floats:
    """The values at the positions [slots, lags], as [slots, series, lags]; NaN outside the history."""
    inside = (positions >= 0) & (positions < len(values))
    taken = values[np.where(inside, positions, 0)]
    taken[~inside] = np.nan
    return np.ascontiguousarray(np.moveaxis(taken, 1, 2))


def around(values: Floats, positions: Integers) -> Floats:
    """The sum of each position and its two neighbours, over those that are known."""
    return np.asarray(sum(np.nan_to_num(at(values, positions + shift)) for shift in (-1, 0, 1)))


def extended(values: Floats, positions: Integers) -> Floats:
    """The values at consecutive positions, NaN after the last."""
    missing = max(0, int(positions[-1]) + 1 - len(values))
    return np.concatenate([values[positions[0] :], np.full((missing, values.shape[1]), np.nan)])


def cumulated(values: Any) -> npt.NDArray[Any]:
    sums = np.zeros((len(values) + 1, values.shape[1]), dtype=np.float64 if values.dtype == np.float64 else np.int32)
    np.cumsum(values, axis=0, out=sums[1:])
    return sums


def sizes_of_day(values: Floats) -> Floats:
    """The largest size of a value in the day up to each slot, [slots, series]."""
    largest, length = np.abs(np.nan_to_num(values)), 1
    while length < SLOTS_A_DAY:
        step = min(length, SLOTS_A_DAY - length)
        largest[step:] = np.maximum(largest[step:], largest[:-step])
        length += step
    return largest


def quantiles(values: Floats, shares: tuple[float, ...], *weights: Floats) -> list[list[Floats]]:
    """Weighted quantiles over the last axis, and how many values they are made of; a list for each of the weights.

    NaN where there are none. `values` are [slots, series, lags], `weights` [slots, lags].
    """
    order = np.argsort(values, axis=-1)  # unknown values come last
    ordered = np.take_along_axis(values, order, axis=-1)
    unknown = np.isnan(ordered)
    found = []
    for by_lag in weights:
        weight = np.take_along_axis(np.broadcast_to(by_lag[:, None, :], values.shape), order, axis=-1)
        weight[unknown] = 0.0
        heights = np.cumsum(weight, axis=-1)
        total = heights[..., -1:]
        results = []
        for share in shares:
            place = np.argmax((heights >= share * total) & (heights > 0), axis=-1)[..., None]
            results.append(np.where(total > 0, np.take_along_axis(ordered, place, axis=-1), np.nan)[..., 0])
        found.append([*results, (weight > 0).sum(axis=-1)])
    return found


def share_of_zeros(values: Floats, weights: Floats) -> Floats:
    """The weighted share of zeros among the known values, over the last axis."""
    weighted = np.where(np.isfinite(values), weights[:, None, :], 0.0)
    zeros = np.sum(weighted * (values == 0), axis=-1)
    return np.asarray(zeros / np.maximum(np.sum(weighted, axis=-1), TINY))


def pooled(deviation: Floats) -> Floats:
    """The mean of the deviations of each slot and of POOLED slots on either side, as far as they are known."""
    known = np.isfinite(deviation)
    pad = ((POOLED, POOLED), (0, 0))
    total, count = np.pad(np.where(known, deviation, 0.0), pad), np.pad(known, pad).astype(np.float64)
    size = len(deviation)
    shifts = range(2 * POOLED + 1)
    sums, numbers = (np.sum([array[shift : shift + size] for shift in shifts], axis=0) for array in (total, count))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sums / numbers)


def before(values: Floats, slots: int, otherwise: float = np.nan) -> Floats:
    """The values `slots` positions before, `otherwise` before the first."""
    if not slots:
        return values
    found = np.full_like(values, otherwise)
    found[slots:] = values[: max(0, len(values) - slots)]
    return found


def arcsine(rates: Floats) -> Floats:
    return np.arcsin(np.sqrt(np.clip(rates, 0.0, 1.0)))


def running_sum(values: Floats, length: int, otherwise: float = np.nan) -> Floats:
    """The sum over each slot and the `length - 1` before it, which are `otherwise` before the first slot."""
    return values if length == 1 else np.asarray(sum(before(values, shift, otherwise) for shift in range(length)))


LAGS = np.array([*range(1, 15), 21, 28])
WEEKS = np.flatnonzero(LAGS % 7 == 0)
# How many slots make today's level.
LEVEL_SLOTS = 16
# How long a day must have looked like one of the other kind.
FIT_SLOTS = 8
# Slots after the evaluated one whose past is used, for its noise: with their neighbours.
AHEAD = POOLED + 1
# How many slots' deviations say how noisy the hours before were.
NOISE_SLOTS = 16
# Slots before the evaluated one for which a baseline is needed.
WARM_UP = NOISE_SLOTS + FIT_SLOTS + LEVEL_SLOTS + POOLED + 2

_SAME_WEEKDAY, _SAME_KIND, _OTHER_KIND, _HOLIDAY = 2.0, 1.0, 0.3, 0.1
# The same kind of day, but not the day before: on Mondays the scale of other working days is that of a weekend.
_OTHER_SCALE = 0.5
# How much wider the band is on a known holiday; and in the hours after its begin and end, whose level is not known yet.
_HOLIDAY_BAND, _HOLIDAY_EDGE_BAND = 2.0, 3.0


@dataclass(frozen=True)
class Days:
    """The days that some positions are compared with; the same for all series."""

    # The slots that need a baseline: some before the evaluated ones, and AHEAD after the last.
    positions: Integers
    # The same local time on earlier days, [positions, lags]; negative: before the history.
    same: Integers
    # How much each day counts, [positions, lags].
    weights: Floats
    # The same, if it were the other kind of day: a weekend, or a working day.
    other_weights: Floats
    # Which positions are on a known holiday.
    holiday: Booleans
    # By how much holidays widen the band at each position.
    band: Floats

    @classmethod
    def of(cls, series: SlotSeries, slots: int, holidays: Collection[int]) -> Days:
        after = series.followed_by(AHEAD)
        positions = np.arange(max(0, series.length - slots - WARM_UP), after.length)
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
            _holiday_band(np.isin(after.dates, list(holidays)))[positions],
        )


def _holiday_band(holiday: Booleans) -> Floats:
    """By how much the band is wider at each slot: on holidays, and while the level is made of the other kind of day."""
    recent = running_sum(before(holiday.astype(np.float64), 1, 0.0), LEVEL_SLOTS, 0.0)
    edge = np.where(holiday, recent < LEVEL_SLOTS, recent > 0)
    return np.select([edge, holiday], [_HOLIDAY_EDGE_BAND, _HOLIDAY_BAND], 1.0)


def _is_weekend(dates: Integers) -> Booleans:
    return np.asarray((dates + 3) % 7 >= 5)  # 1970 began on a Thursday


@dataclass(frozen=True)
class Baseline:
    """What is usual at each position, before today's level; [positions, series] or [positions, series, lags].

    Of a share these are rates.
    """

    # The earlier days' values, scaled to today.
    then: Floats
    # The expected value.
    usual: Floats
    # As if it were the other kind of day.
    other: Floats
    # The expected value as if the last 24 hours had been like those before.
    plain: Floats
    # What two of the last four weeks reached.
    low: Floats
    high: Floats
    # Of how many days it is made.
    count: Floats

    @classmethod
    def of(cls, series: SlotSeries, days: Days) -> Baseline:
        if series.trials is None:
            scale = _scales(series, days)
            then = at(series.values, days.same) * scale
            smooth: Callable[[Floats, Floats, Floats], Floats] = _smoothed
        else:
            scale = np.ones((1, 1, len(LAGS)))
            with np.errstate(divide="ignore", invalid="ignore"):
                then = around(series.values, days.same) / around(series.trials, days.same)
            then[~np.isfinite(then)] = np.nan
            smooth = _middle
        (usual, count), (other, _) = (
            (smooth(*middle), known)
            for *middle, known in quantiles(then, (0.25, 0.5, 0.75), days.weights, days.other_weights)
        )
        plain = usual / np.median(scale[:, :, WEEKS], axis=-1)
        return cls(then, usual, other, plain, *_reached_in_weeks(then[:, :, WEEKS], usual), count)


def _reached_in_weeks(values: Floats, usual: Floats) -> tuple[Floats, Floats]:
    """The second lowest and the second highest value of the weeks; the usual one where there are fewer than two."""
    weeks = np.sort(values, axis=-1)  # unknown ones come last
    known = np.isfinite(weeks).sum(axis=-1)
    second = np.take_along_axis(weeks, np.maximum(known - 2, 0)[..., None], axis=-1)[..., 0]
    return np.where(known >= 2, weeks[..., 1], usual), np.where(known >= 2, second, usual)


def _scales(series: SlotSeries, days: Days) -> Floats:
    """How the last 24 hours compare with the 24 hours before each earlier value, [positions, series, lags].

    1 where that is not known, and for a gauge around zero.
    """
    first = max(0, int(days.same.min()) - SLOTS_A_DAY - AHEAD) if (days.same >= 0).all() else 0
    finite = np.isfinite(series.values[first:])
    values = np.where(finite, series.values[first:], 0.0)
    sums, known = cumulated(values), cumulated(finite)
    sizes = cumulated(np.abs(values)) if series.is_gauge else sums
    # Baselines reach AHEAD slots ahead, and what they are scaled by must not.
    now = days.positions[:, None] - AHEAD
    today, earlier = (_mean_of_day(sums, sizes, known, end - first) for end in (now, days.same - AHEAD))
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = today / earlier
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


def _smoothed(low: Floats, middle: Floats, high: Floats) -> Floats:
    """The mean of each slot's median and its neighbours', which count as far as the middle half of the days reaches."""
    previous, after = before(middle, 1), np.concatenate([middle[1:], middle[-1:]])
    parts = [np.clip(np.where(np.isnan(neighbour), middle, neighbour), low, high) for neighbour in (previous, after)]
    return np.asarray((parts[0] + middle + parts[1]) / 3)


def _middle(_low: Floats, middle: Floats, _high: Floats) -> Floats:
    return middle


# A slot's weight halves in an hour, and the usual level weighs two slots.
_DECAY = 0.5 ** (1 / 4)
_PULL = 2.0
_WEIGHT = sum(_DECAY**step for step in range(LEVEL_SLOTS))
_BOUNDS = (0.2, 5.0)
# No slot moves the level far, so that an outage does not become the norm while it begins.
_STEP = 0.15
_STEP_SIGMAS = 2.5
_NEARER = 0.5  # at most half as far away


def level_of(series: SlotSeries, actual: Floats, usual: Floats, plain: Floats) -> Floats:
    """Today's level at each position, from the LEVEL_SLOTS before it; 1 where none of them is known.

    Few slots say little, so the level is pulled towards 1, or towards `plain`, the value without the scale of the last
    24 hours, where the slots are much nearer to that: the day after a holiday is as large as in other weeks.
    """
    good = np.isfinite(actual) & np.isfinite(usual)
    sign = np.where(good, np.sign(usual), 0.0)  # a negative gauge grows downwards
    pad = ((LEVEL_SLOTS, 0), (0, 0))
    values = [np.pad(np.where(good, numbers * sign, 0.0), pad) for numbers in (actual, usual, plain)]
    parts = [slice(step, step + len(actual)) for step in range(LEVEL_SLOTS)]
    today, meant, weeks = (np.asarray(sum(numbers[part] for part in parts)) for numbers in values)
    now, then = _ratio(today, meant), _ratio(weeks, meant)
    pull = _PULL / LEVEL_SLOTS * meant
    towards = pull * np.where(np.abs(now - then) < _NEARER * np.abs(now - 1.0), then, 1.0)
    above, below, level = np.zeros_like(actual), np.zeros_like(actual), np.ones_like(actual)
    for part in parts:
        value, expected = (numbers[part] for numbers in values[:2])
        room = _STEP * expected * level
        if not series.is_gauge:
            room = np.maximum(room, _STEP_SIGMAS * np.sqrt(expected * level))
        above = _DECAY * above + np.clip(value, expected * level - room, expected * level + room)
        below = _DECAY * below + expected
        level = _ratio(above + towards, below + pull)
    return level


def _ratio(above: Any, below: Any) -> Floats:
    """The quotient, within the bounds of a level; 1 where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.clip(np.where(below > 0, above / below, 1.0), *_BOUNDS))


def _recent(values: Floats) -> Floats:
    """The sum of the LEVEL_SLOTS values before each position, the latest first, each weighing _DECAY of the next."""
    total, length = values, 1
    while length < LEVEL_SLOTS:
        total = total + _DECAY**length * before(total, length, 0.0)
        length *= 2
    return before(total, 1, 0.0)


def levels_then(then: Floats, usual: Floats) -> Floats:
    """The level that each earlier day had at each position, [positions, series, lags]."""
    good = np.isfinite(then) & np.isfinite(usual)
    sign = np.sign(usual)
    above = _recent(np.where(good, then * sign, 0.0))
    below = _recent(np.where(good, np.abs(usual), 0.0))
    pull = _PULL * below / _WEIGHT
    return _ratio(above + pull, below + pull)
