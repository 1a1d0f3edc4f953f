"""What is judged: a metric's history on the grid of slots, for many series at once.

A series is the metric of the whole product or of one slice. All series of a metric lie side by side in one array, so
that ten thousand of them are judged by the same few numpy operations as one.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from metrics_platform.calendar import SLOT
from metrics_platform.detection.config import Kind

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
SLOTS_A_DAY = 96


@dataclass(frozen=True)
class SlotSeries:
    """A metric's values by slot and series.

    Attributes:
        start: the first slot's begin, in UTC.
        zone: the product's zone, by which a time of day is the same as yesterday's.
        values: [slots, series]: the counts or gauges; of a share its numerator. NaN: unknown.
        trials: of a share its denominator, [slots, series]; None for all other kinds.
        kind: whether values are counts, which have counting noise, or gauges and ratios, which have none. A share is
            told by its trials.
    """

    start: datetime.datetime
    zone: ZoneInfo
    values: Floats
    trials: Floats | None = None
    kind: Kind = "count"

    def __post_init__(self) -> None:
        """Raises ValueError where the arrays do not fit."""
        if self.values.ndim != 2:
            raise ValueError(f"values must be [slots, series], not of {self.values.ndim} dimensions")
        if self.trials is not None and self.trials.shape != self.values.shape:
            raise ValueError(f"trials have the shape {self.trials.shape}, values {self.values.shape}")

    @property
    def has_counting_noise(self) -> bool:
        """Whether values scatter at least as counts do."""
        return self.trials is None and self.kind == "count"

    @property
    def length(self) -> int:
        """How many slots there are."""
        return int(self.values.shape[0])

    @property
    def number(self) -> int:
        """The first slot's number since 1970: what repeats by the hour is counted from there, never from a row."""
        return int(self.start.timestamp() // SLOT.total_seconds())

    @cached_property
    def observed(self) -> Floats:
        """The metric itself, [slots, series]: the count, or the rate (NaN without trials)."""
        if self.trials is None:
            return self.values
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.trials > 0, self.values / self.trials, np.nan)

    @cached_property
    def times(self) -> pd.DatetimeIndex:
        """The slots' begins, in UTC."""
        return pd.date_range(self.start, periods=self.length, freq=SLOT)

    @cached_property
    def _clock_offsets(self) -> Integers:
        """The zone's offset from UTC at each slot, in slots."""
        local = self.times.tz_convert(self.zone).tz_localize(None)
        seconds = (local - self.times.tz_localize(None)).total_seconds().to_numpy()
        return np.round(seconds / SLOT.total_seconds()).astype(np.int64)

    @cached_property
    def dates(self) -> Integers:
        """The local date of each slot, in days since 1970."""
        local = self.times.tz_convert(self.zone).tz_localize(None)
        return local.to_numpy().astype("datetime64[D]").astype(np.int64)

    def same_time(self, positions: Integers, days_before: Integers) -> Integers:
        """The positions of the same local time so many days before, [positions, days]; negative: before the history.

        By the clock, never by the row: where clocks change, a day has 92 or 100 slots. Of an hour that happened twice
        one is taken, and for one that was left out an hour beside it.
        """
        naive = positions[:, None] - SLOTS_A_DAY * days_before[None, :]
        inside = np.clip(naive, 0, self.length - 1)
        shifted = naive + self._clock_offsets[positions][:, None] - self._clock_offsets[inside]
        return np.where(naive < 0, -1, shifted)

    def lane(self, number: int) -> SlotSeries:
        """One of the series."""
        trials = None if self.trials is None else self.trials[:, number : number + 1]
        return SlotSeries(self.start, self.zone, self.values[:, number : number + 1], trials, self.kind)

    def between(self, first: int, end: int) -> SlotSeries:
        """The slots from position `first` up to `end`, as a history of their own."""
        trials = None if self.trials is None else self.trials[first:end]
        return SlotSeries(self.start + first * SLOT, self.zone, self.values[first:end], trials, self.kind)


def shifted(values: Floats, slots: int) -> Floats:
    """The values so many slots before, NaN before the first."""
    found = np.full_like(values, np.nan)
    found[slots:] = values[: max(0, len(values) - slots)]
    return found
