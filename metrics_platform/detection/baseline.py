"""What is usual in a slot: a weighted median of the same time on earlier days, scaled to today."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from metrics_platform.detection.arrays import around, at, before, cumulated, quantiles
from metrics_platform.detection.days import AHEAD, LAGS, WEEKS, Days
from metrics_platform.detection.series import SLOTS_A_DAY, Floats, Integers, SlotSeries


@dataclass(frozen=True)
class Baseline:
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

    @classmethod
    def of(cls, series: SlotSeries, days: Days) -> Baseline:
        """The baseline of each position of `days`."""
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
    parts = [np.clip(np.where(np.isnan(each), middle, each), low, high) for each in (previous, after)]
    return np.asarray((parts[0] + middle + parts[1]) / 3)


def _middle(_low: Floats, middle: Floats, _high: Floats) -> Floats:
    return middle
