"""The earlier days that a slot is compared with, and how much each counts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from metrics_platform.detection.arrays import POOLED, before, recent_sum
from metrics_platform.detection.decide import NOISE_SLOTS
from metrics_platform.detection.series import Booleans, Floats, Integers, SlotSeries

LAGS = np.array([*range(1, 15), 21, 28])
WEEKS = np.flatnonzero(LAGS % 7 == 0)
# How many slots make today's level.
LEVEL_SLOTS = 16
# How long a day must have looked like one of the other kind.
FIT_SLOTS = 8
# Slots after the evaluated one whose past is used, for its noise: with their neighbours.
AHEAD = POOLED + 1
# Slots before the evaluated one for which a baseline is needed.
WARM_UP = NOISE_SLOTS + FIT_SLOTS + LEVEL_SLOTS + POOLED + 2

_SAME_WEEKDAY, _SAME_KIND, _OTHER_KIND, _HOLIDAY = 2.0, 1.0, 0.3, 0.1
# The same kind of day, but not the day before: on Mondays the scale of other working days is that of a weekend.
_OTHER_SCALE = 0.5
# How much wider the band is on a known holiday; and in the hours after its begin and end, whose level is not known yet.
_HOLIDAY_BAND, _HOLIDAY_EDGE_BAND = 2.0, 3.0


@dataclass(frozen=True)
class Days:
    """The days that some positions are compared with; the same for all series.

    Attributes:
        positions: the slots that need a baseline: some before the evaluated ones, and AHEAD after the last.
        same: the same local time on earlier days, [positions, lags]; negative: before the history.
        weights: how much each day counts, [positions, lags].
        other_weights: the same, if it were the other kind of day: a weekend, or a working day.
        holiday: which positions are on a known holiday.
        band: by how much holidays widen the band at each position.
    """

    positions: Integers
    same: Integers
    weights: Floats
    other_weights: Floats
    holiday: Booleans
    band: Floats

    @classmethod
    def of(cls, series: SlotSeries, slots: int, holidays: Collection[int]) -> Days:
        """The days for the last `slots` slots; `holidays` are local dates as days since 1970."""
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
    recent = recent_sum(before(holiday.astype(np.float64), 1, 0.0), LEVEL_SLOTS)
    edge = np.where(holiday, recent < LEVEL_SLOTS, recent > 0)
    return np.select([edge, holiday], [_HOLIDAY_EDGE_BAND, _HOLIDAY_BAND], 1.0)


def _is_weekend(dates: Integers) -> Booleans:
    return np.asarray((dates + 3) % 7 >= 5)  # 1970 began on a Thursday
