"""The input and output of detectors: a metric's history on the slot grid, and whether each slot is normal.

A series is a metric of the whole product or of one slice. All series of a metric are columns of one array, so that the
same few numpy operations evaluate one series or ten thousand.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from metrics_platform.detection.config import Kind
from metrics_platform.time_windows import SLOT

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]
SLOTS_A_DAY = 96


@dataclass(frozen=True)
class SlotSeries:
    """A metric's values by slot and series."""

    # The start of the first slot, in UTC.
    start: datetime.datetime
    # The product's zone, in which times of day are compared.
    zone: ZoneInfo
    # [slots, series]: the counts or gauges; of a share its numerator. NaN: unknown.
    values: Floats
    # For a share: its denominator, [slots, series]; None for all other kinds.
    trials: Floats | None = None
    # Counts have counting noise; gauges and ratios have none. Not used for shares, which have trials.
    kind: Kind = "count"
    # For a gauge or a ratio: the usual number of events in a slot, [series]. A value of few events is unreliable. None:
    # unknown, and not checked.
    events: Floats | None = None

    @property
    def is_gauge(self) -> bool:
        """Whether values are arbitrary numbers without counting noise: gauges and ratios."""
        return self.trials is None and self.kind != "count"

    @property
    def length(self) -> int:
        return int(self.values.shape[0])

    @cached_property
    def observed(self) -> Floats:
        """The metric itself, [slots, series]: the value, or the share (NaN without trials)."""
        if self.trials is None:
            return self.values
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.trials > 0, self.values / self.trials, np.nan)

    @cached_property
    def _clocks(self) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex]:
        """The starts of the slots, in UTC and by the zone's clocks."""
        times = pd.date_range(self.start, periods=self.length, freq=SLOT)
        return times.tz_localize(None), times.tz_convert(self.zone).tz_localize(None)

    @cached_property
    def _clock_offsets(self) -> Integers:
        """The zone's offset from UTC at each slot, in slots."""
        utc, local = self._clocks
        return np.round((local - utc).total_seconds().to_numpy() / SLOT.total_seconds()).astype(np.int64)

    @cached_property
    def dates(self) -> Integers:
        """The local date of each slot, in days since 1970."""
        return self._clocks[1].to_numpy().astype("datetime64[D]").astype(np.int64)

    def same_time(self, positions: Integers, days_before: Integers) -> Integers:
        """The positions of the same local time on earlier days, [positions, days]; negative: before the history.

        They are found by the clock and not by the row: on days of a clock change, a day has 92 or 100 slots. A repeated
        hour is used once, and a skipped hour is replaced by its neighbour.
        """
        naive = positions[:, None] - SLOTS_A_DAY * days_before[None, :]
        inside = np.clip(naive, 0, self.length - 1)
        shifted = naive + self._clock_offsets[positions][:, None] - self._clock_offsets[inside]
        return np.where(naive < 0, -1, shifted)

    def part(self, first: int, end: int) -> SlotSeries:
        trials = None if self.trials is None else self.trials[:, first:end]
        events = None if self.events is None else self.events[first:end]
        return replace(self, values=self.values[:, first:end], trials=trials, events=events)

    def followed_by(self, slots: int) -> SlotSeries:
        """The same clock with `slots` more slots, and without series."""
        return replace(self, values=np.empty((self.length + slots, 0)), trials=None)

    def between(self, first: int, end: int) -> SlotSeries:
        """The slots from position `first` up to `end`, as a history of their own."""
        trials = None if self.trials is None else self.trials[first:end]
        return replace(self, start=self.start + first * SLOT, values=self.values[first:end], trials=trials)


class Status(enum.IntEnum):
    """Whether a slot is normal."""

    NORMAL = 0
    ANOMALOUS = 1
    NOT_ENOUGH_HISTORY = 2
    UNKNOWN = 3


class Reason(enum.IntEnum):
    """Why a slot got its status."""

    WITHIN_BAND = 0
    THIS_SLOT = 1
    LAST_HOUR = 2
    LAST_TWO_HOURS = 3
    NO_DATA = 4
    CHANGE_TOO_SMALL = 5
    BELOW_MINIMUM_VOLUME = 6
    NOT_ENOUGH_HISTORY = 7
    NO_VALUE = 8
    OTHER_DIRECTION = 9
    NOT_LONG_ENOUGH = 10
    FROM_ZERO = 11
    WITH_SIBLING = 12


@dataclass(frozen=True)
class Detections:
    """The results for consecutive slots. Each array is [slots, series]; NaN where a number is unknown."""

    # A `Status`.
    status: npt.NDArray[np.int8]
    # A `Reason`.
    reason: npt.NDArray[np.int8]
    # The metric.
    value: Floats
    # The value that was expected.
    expected: Floats
    # The band in which the value is normal.
    lower: Floats
    upper: Floats
    # The deviation in the detector's own unit, negative below the expected value.
    score: Floats
    # The smaller of the deviation and the change, each as a share of its threshold; negative below the expected value,
    # 0 where it does not count.
    strength: Floats

    @classmethod
    def combine(cls, parts: Sequence[Detections], merge: Callable[[list[Any]], Any]) -> Detections:
        """Merge each array of `parts` with `merge`."""
        return cls(*(merge([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))

    @property
    def anomalous(self) -> npt.NDArray[np.bool_]:
        """Where the metric is outside its band."""
        return np.asarray(self.status == Status.ANOMALOUS)

    @property
    def change(self) -> Floats:
        """The deviation as a share of the expected value; NaN where zero is expected."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.expected != 0, (self.value - self.expected) / np.abs(self.expected), np.nan)

    def where_unknown(self, not_enough: npt.NDArray[np.bool_]) -> Detections:
        """The same, without a verdict where the value is missing or there is `not_enough` history."""
        no_value = ~np.isfinite(self.value)
        status = np.select([no_value, not_enough], [Status.UNKNOWN, Status.NOT_ENOUGH_HISTORY], self.status)
        reason = np.select([no_value, not_enough], [Reason.NO_VALUE, Reason.NOT_ENOUGH_HISTORY], self.reason)
        expected, lower, upper = (
            np.where(not_enough, np.nan, numbers) for numbers in (self.expected, self.lower, self.upper)
        )
        score = np.where(no_value | not_enough, np.nan, self.score)
        strength = np.where(no_value | not_enough, 0.0, self.strength)
        return Detections(
            status.astype(np.int8), reason.astype(np.int8), self.value, expected, lower, upper, score, strength
        )

    def where_anomalous(self, where: npt.NDArray[np.bool_], why: Reason) -> Detections:
        """The same, but anomalous at these slots."""
        return replace(
            self,
            status=np.where(where, Status.ANOMALOUS, self.status).astype(np.int8),
            reason=np.where(where, why, self.reason).astype(np.int8),
        )

    def where_normal(self, where: npt.NDArray[np.bool_], why: Reason) -> Detections:
        """The same, but normal at these slots, without evidence from or for siblings."""
        changed = where & self.anomalous
        return replace(
            self,
            status=np.where(changed, Status.NORMAL, self.status).astype(np.int8),
            reason=np.where(changed, why, self.reason).astype(np.int8),
            strength=np.where(where, 0.0, self.strength),
        )
