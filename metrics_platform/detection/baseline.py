"""The baseline of a slot: a weighted median of the same time on earlier days, scaled to today, and today's level.

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
# Noise is pooled over this many slots on either side, because sixteen days are too few for an estimate.
POOLED = 6


def values_at(values: Floats, positions: Integers) -> Floats:
    """The values at the positions [slots, lags], as [slots, series, lags]; NaN outside the history."""
    inside = (positions >= 0) & (positions < len(values))
    taken = values[np.where(inside, positions, 0)]
    taken[~inside] = np.nan
    return np.ascontiguousarray(np.moveaxis(taken, 1, 2))


def sum_around(values: Floats, positions: Integers) -> Floats:
    """The sum of the known values at each position and its two neighbours."""
    return np.asarray(sum(np.nan_to_num(values_at(values, positions + shift)) for shift in (-1, 0, 1)))


def slice_padded(values: Floats, positions: Integers) -> Floats:
    """The values at consecutive positions, NaN after the last."""
    missing = max(0, int(positions[-1]) + 1 - len(values))
    return np.concatenate([values[positions[0] :], np.full((missing, values.shape[1]), np.nan)])


def cumulative_sum(values: Any) -> npt.NDArray[Any]:
    sums = np.zeros((len(values) + 1, values.shape[1]), dtype=np.float64 if values.dtype == np.float64 else np.int32)
    np.cumsum(values, axis=0, out=sums[1:])
    return sums


def daily_peaks(values: Floats) -> Floats:
    """The largest absolute value in the 24 hours up to each slot, [slots, series]."""
    largest, length = np.abs(np.nan_to_num(values)), 1
    while length < SLOTS_A_DAY:
        step = min(length, SLOTS_A_DAY - length)
        largest[step:] = np.maximum(largest[step:], largest[:-step])
        length += step
    return largest


def quantiles(values: Floats, shares: tuple[float, ...], *weights: Floats) -> list[list[Floats]]:
    """Weighted quantiles over the last axis, and the number of values; a list for each of the weights.

    NaN where there are no values. `values` are [slots, series, lags], `weights` [slots, lags].
    """
    order = np.argsort(values, axis=-1)  # unknown values come last
    ordered = np.take_along_axis(values, order, axis=-1)
    unknown = np.isnan(ordered)
    first_of_slot = np.arange(len(values))[:, None, None] * values.shape[-1]
    quantiles_by_weight = []
    for by_lag in weights:
        weight = by_lag.ravel().take(first_of_slot + order)
        weight[unknown] = 0.0
        heights = np.cumsum(weight, axis=-1)
        total = heights[..., -1:]
        results = []
        for share in shares:
            index = np.argmax(heights >= share * total, axis=-1)[..., None]
            results.append(np.where(total > 0, np.take_along_axis(ordered, index, axis=-1), np.nan)[..., 0])
        quantiles_by_weight.append([*results, (weight > 0).sum(axis=-1)])
    return quantiles_by_weight


def share_of_zeros(values: Floats, weights: Floats) -> Floats:
    """The weighted share of zeros among the known values, over the last axis."""
    weighted = np.where(np.isfinite(values), weights[:, None, :], 0.0)
    zeros = np.sum(weighted * (values == 0), axis=-1)
    return np.asarray(zeros / np.maximum(np.sum(weighted, axis=-1), TINY))


def pool(deviation: Floats) -> Floats:
    """The mean of the deviations of each slot and of POOLED slots on either side, as far as they are known."""
    known = np.isfinite(deviation)
    pad = ((POOLED, POOLED), (0, 0))
    total, count = np.pad(np.where(known, deviation, 0.0), pad), np.pad(known, pad).astype(np.float64)
    size = len(deviation)
    shifts = range(2 * POOLED + 1)
    sums, numbers = (np.sum([array[shift : shift + size] for shift in shifts], axis=0) for array in (total, count))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sums / numbers)


def lagged(values: Floats, slots: int, fill: float = np.nan) -> Floats:
    """The values shifted by `slots` positions, with `fill` before the first."""
    if not slots:
        return values
    shifted = np.full_like(values, fill)
    shifted[slots:] = values[: max(0, len(values) - slots)]
    return shifted


def arcsine(rates: Floats) -> Floats:
    return np.arcsin(np.sqrt(np.clip(rates, 0.0, 1.0)))


def running_sum(values: Floats, length: int, fill: float = np.nan) -> Floats:
    """The sum over each slot and the `length - 1` slots before it; `fill` replaces slots before the first."""
    return values if length == 1 else np.asarray(sum(lagged(values, shift, fill) for shift in range(length)))


LAGS = np.array([*range(1, 15), 21, 28])
WEEKS = np.flatnonzero(LAGS % 7 == 0)
# How many slots define today's level.
LEVEL_SLOTS = 16
# How many slots must fit the other kind of day.
FIT_SLOTS = 8
# How many slots after the evaluated one are used for its noise (their past), including neighbours.
AHEAD = POOLED + 1
# How many slots measure the noise of the preceding hours.
NOISE_SLOTS = 16
# Slots before the evaluated one for which a baseline is needed.
WARM_UP = NOISE_SLOTS + FIT_SLOTS + LEVEL_SLOTS + POOLED + 2

_SAME_WEEKDAY, _SAME_KIND, _OTHER_KIND, _HOLIDAY = 2.0, 1.0, 0.3, 0.1
# The same kind of day after another kind of day: on Mondays, the 24 hours before are a weekend.
_OTHER_SCALE = 0.5
# How much wider the band is on a known holiday, and in the hours after its start and end, when the level is not known.
_HOLIDAY_BAND, _HOLIDAY_EDGE_BAND = 2.0, 3.0


@dataclass(frozen=True)
class Days:
    """The earlier days that positions are compared with; the same for all series."""

    # The slots that need a baseline: some before the evaluated ones, and AHEAD after the last.
    positions: Integers
    # The same local time on earlier days, [positions, lags]; negative: before the history.
    same: Integers
    # The weight of each day, [positions, lags].
    weights: Floats
    # The weights if the day were of the other kind: a weekend, or a working day.
    other_weights: Floats
    # Which positions are on a known holiday.
    holiday: Booleans
    # How much holidays widen the band at each position.
    band: Floats

    @classmethod
    def of(cls, series: SlotSeries, slots: int, holidays: Collection[int]) -> Days:
        after = series.followed_by(AHEAD)
        positions = np.arange(max(0, series.length - slots - WARM_UP), after.length)
        same = after.same_time(positions, LAGS)
        today = after.dates[positions]
        earlier_dates = today[:, None] - LAGS
        same_kind = _is_weekend(today)[:, None] == _is_weekend(earlier_dates)
        same_kind_before = _is_weekend(today - 1)[:, None] == _is_weekend(earlier_dates - 1)
        weights = np.select(
            [LAGS % 7 == 0, same_kind & same_kind_before, same_kind],
            [_SAME_WEEKDAY, _SAME_KIND, _OTHER_SCALE],
            _OTHER_KIND,
        )
        is_holiday = np.isin(earlier_dates, list(holidays))
        known = same >= 0
        return cls(
            positions,
            same,
            np.where(known, np.where(is_holiday, _HOLIDAY, weights), 0.0),
            np.where(known & ~same_kind & ~is_holiday, 1.0, 0.0),
            np.isin(today, list(holidays)),
            _holiday_band(np.isin(after.dates, list(holidays)))[positions],
        )


def _holiday_band(holiday: Booleans) -> Floats:
    """How much wider the band is at each slot: on holidays, and while the level comes from the other kind of day."""
    recent = running_sum(lagged(holiday.astype(np.float64), 1, 0.0), LEVEL_SLOTS, 0.0)
    edge = np.where(holiday, recent < LEVEL_SLOTS, recent > 0)
    return np.select([edge, holiday], [_HOLIDAY_EDGE_BAND, _HOLIDAY_BAND], 1.0)


def _is_weekend(dates: Integers) -> Booleans:
    return np.asarray((dates + 3) % 7 >= 5)  # 1970 began on a Thursday


@dataclass(frozen=True)
class Baseline:
    """The usual values at each position, without today's level; [positions, series] or [positions, series, lags].

    For a share, they are rates.
    """

    # The earlier days' values, scaled to today.
    then: Floats
    # The expected value.
    usual: Floats
    # The expected value if it were the other kind of day.
    other: Floats
    # The expected value without scaling by the last 24 hours.
    plain: Floats
    # The lowest and highest value that two of the last four weeks reached.
    low: Floats
    high: Floats
    # The number of days it is based on.
    count: Floats

    @classmethod
    def of(cls, series: SlotSeries, days: Days) -> Baseline:
        if series.trials is None:
            scale = _scales(series, days)
            earlier = values_at(series.values, days.same) * scale
            smooth: Callable[[Floats, Floats, Floats], Floats] = _smooth
        else:
            scale = np.ones((1, 1, len(LAGS)))
            with np.errstate(divide="ignore", invalid="ignore"):
                earlier = sum_around(series.values, days.same) / sum_around(series.trials, days.same)
            earlier[~np.isfinite(earlier)] = np.nan
            smooth = _middle
        (usual, count), (other, _) = (
            (smooth(*middle), known)
            for *middle, known in quantiles(earlier, (0.25, 0.5, 0.75), days.weights, days.other_weights)
        )
        plain = usual / np.median(scale[:, :, WEEKS], axis=-1)
        return cls(earlier, usual, other, plain, *_reached_in_weeks(earlier[:, :, WEEKS], usual), count)


def _reached_in_weeks(values: Floats, usual: Floats) -> tuple[Floats, Floats]:
    """The second lowest and second highest value of the weeks; the usual value if there are fewer than two."""
    weeks = np.sort(values, axis=-1)  # unknown ones come last
    known = np.isfinite(weeks).sum(axis=-1)
    second = np.take_along_axis(weeks, np.maximum(known - 2, 0)[..., None], axis=-1)[..., 0]
    return np.where(known >= 2, weeks[..., 1], usual), np.where(known >= 2, second, usual)


def _scales(series: SlotSeries, days: Days) -> Floats:
    """How the last 24 hours compare with the 24 hours before each earlier value, [positions, series, lags].

    1 where that is not known, and for a gauge around zero.
    """
    first = max(0, int(days.same.min()) - SLOTS_A_DAY - AHEAD) if (days.same >= 0).all() else 0
    values, known = series.values[first:], None
    if not (finite := np.isfinite(values)).all():
        values, known = np.where(finite, values, 0.0), cumulative_sum(finite)
    sums = cumulative_sum(values)
    sizes = cumulative_sum(np.abs(values)) if series.is_gauge else None
    # Baselines reach AHEAD slots into the future, but their scale must not.
    now = days.positions[:, None] - AHEAD
    today, earlier = (_mean_of_day(sums, sizes, known, end - first) for end in (now, days.same - AHEAD))
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = today / earlier
    return np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)


def _mean_of_day(sums: Floats, sizes: Floats | None, known: Integers | None, end: Integers) -> Floats:
    """The mean of the 24 hours before each position of `end`, [slots, series, lags]; NaN where half are unknown.

    `sizes` are the sums of absolute values, None if these are the values; `known` counts values, None if all are known.
    """
    begin = end - SLOTS_A_DAY
    inside = (begin >= 0) & (end < len(sums))
    begin, end = np.where(inside, begin, 0), np.where(inside, end, 0)
    total = sums[end] - sums[begin]
    is_known = inside[..., None]
    count: Any = SLOTS_A_DAY
    if known is not None:
        count = known[end] - known[begin]
        is_known = is_known & (count >= SLOTS_A_DAY // 2)
    if sizes is not None:
        is_known = is_known & (np.abs(total) >= (sizes[end] - sizes[begin]) / 2)
    return np.moveaxis(np.where(is_known, total / np.maximum(count, 1), np.nan), 1, 2)


def _smooth(low: Floats, middle: Floats, high: Floats) -> Floats:
    """The mean of each slot's median and its neighbours', clipped to the middle half of the slot's days."""
    previous, after = lagged(middle, 1), np.concatenate([middle[1:], middle[-1:]])
    parts = [np.clip(np.where(np.isnan(neighbour), middle, neighbour), low, high) for neighbour in (previous, after)]
    return np.asarray((parts[0] + middle + parts[1]) / 3)


def _middle(_low: Floats, middle: Floats, _high: Floats) -> Floats:
    return middle


# A slot's weight halves in an hour, and the usual level weighs two slots.
_DECAY = 0.5 ** (1 / 4)
_PULL = 2.0
_WEIGHT = sum(_DECAY**step for step in range(LEVEL_SLOTS))
_BOUNDS = (0.2, 5.0)
# A single slot cannot move the level far, so that the start of an outage does not become the norm.
_STEP = 0.15
_STEP_SIGMAS = 2.5
_MAX_DISTANCE_RATIO = 0.5  # at most half as far away


def level_of(series: SlotSeries, actual: Floats, usual: Floats, plain: Floats) -> Floats:
    """Today's level at each position, from the LEVEL_SLOTS before it; 1 where none of them is known.

    A few slots are unreliable, so the level is pulled towards 1. If the slots are much closer to `plain`, the value
    without the scale of the last 24 hours, it is pulled towards that: the day after a holiday is as in other weeks.
    """
    is_known = np.isfinite(actual) & np.isfinite(usual)
    sign = np.where(is_known, np.sign(usual), 0.0)  # a negative gauge grows downwards
    pad = ((LEVEL_SLOTS, 0), (0, 0))
    values = [np.pad(np.where(is_known, numbers * sign, 0.0), pad) for numbers in (actual, usual, plain)]
    parts = [slice(step, step + len(actual)) for step in range(LEVEL_SLOTS)]
    today, expected_sum, plain_sum = (np.asarray(sum(numbers[part] for part in parts)) for numbers in values)
    observed_level, plain_level = _ratio(today, expected_sum), _ratio(plain_sum, expected_sum)
    pull = _PULL / LEVEL_SLOTS * expected_sum
    target = pull * np.where(
        np.abs(observed_level - plain_level) < _MAX_DISTANCE_RATIO * np.abs(observed_level - 1.0), plain_level, 1.0
    )
    numerator, denominator, level = np.zeros_like(actual), np.zeros_like(actual), np.ones_like(actual)
    for part in parts:
        value, expected = (numbers[part] for numbers in values[:2])
        max_step = _STEP * expected * level
        if not series.is_gauge:
            max_step = np.maximum(max_step, _STEP_SIGMAS * np.sqrt(expected * level))
        numerator = _DECAY * numerator + np.clip(value, expected * level - max_step, expected * level + max_step)
        denominator = _DECAY * denominator + expected
        level = _ratio(numerator + target, denominator + pull)
    return level


def _ratio(numerator: Any, denominator: Any) -> Floats:
    """The quotient, within the bounds of a level; 1 where the denominator is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.clip(np.where(denominator > 0, numerator / denominator, 1.0), *_BOUNDS))


def _recent(values: Floats) -> Floats:
    """The sum of the LEVEL_SLOTS values before each position, the latest first, each weighing _DECAY of the next."""
    total, length = values, 1
    while length < LEVEL_SLOTS:
        total = total + _DECAY**length * lagged(total, length, 0.0)
        length *= 2
    return lagged(total, 1, 0.0)


def earlier_levels(earlier: Floats, usual: Floats) -> Floats:
    """The level that each earlier day had at each position, [positions, series, lags]."""
    is_known = np.isfinite(earlier) & np.isfinite(usual)
    sign = np.sign(usual)
    numerator = _recent(np.where(is_known, earlier * sign, 0.0))
    denominator = _recent(np.where(is_known, np.abs(usual), 0.0))
    pull = _PULL * denominator / _WEIGHT
    return _ratio(numerator + pull, denominator + pull)
