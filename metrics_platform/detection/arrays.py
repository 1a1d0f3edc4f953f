"""Operations on arrays [slots, series] and [slots, series, lags] that detectors are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from metrics_platform.detection.series import SLOTS_A_DAY, Floats, Integers

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
    """Cumulative sums along the slots, beginning with zero."""
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
    sums, numbers = (np.sum([each[shift : shift + size] for shift in shifts], axis=0) for each in (total, count))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sums / numbers)


def recent_sum(values: Floats, length: int) -> Floats:
    """The sum of the values up to each position, as far as there are any."""
    return np.asarray(sum(before(values, shift, 0.0) for shift in range(length)))


def before(values: Floats, slots: int, otherwise: float = np.nan) -> Floats:
    """The values `slots` positions before, `otherwise` before the first."""
    if not slots:
        return values
    found = np.full_like(values, otherwise)
    found[slots:] = values[: max(0, len(values) - slots)]
    return found


def arcsine(rates: Floats) -> Floats:
    return np.arcsin(np.sqrt(np.clip(rates, 0.0, 1.0)))


def running_sum(values: Floats, length: int) -> Floats:
    """The sum over each slot and the `length - 1` before it; NaN where one of them is not known."""
    return values if length == 1 else np.asarray(sum(before(values, shift) for shift in range(length)))
