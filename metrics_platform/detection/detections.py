"""What a detector answers: whether each slot of each series is normal, and why."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from metrics_platform.detection.series import Floats


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
    """The answers for consecutive slots, each array [slots, series]; NaN where a number is not known.

    Attributes:
        status: a `Status`.
        reason: a `Reason`.
        value: the metric.
        expected: the value that was expected.
        lower, upper: the band in which the value is normal.
        score: the deviation in the detector's own unit, negative below the expected value.
        strength: the smaller of the deviation and the change, each as a share of what makes a slot anomalous; negative
            below, 0 where it does not count.
    """

    status: npt.NDArray[np.int8]
    reason: npt.NDArray[np.int8]
    value: Floats
    expected: Floats
    lower: Floats
    upper: Floats
    score: Floats
    strength: Floats

    @classmethod
    def side_by_side(cls, parts: Iterable[Detections]) -> Detections:
        """The answers for several groups of series as one."""
        found = list(parts)
        return cls(*(np.concatenate([getattr(part, name) for part in found], axis=1) for name in cls.names()))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of the arrays."""
        return tuple(cls.__dataclass_fields__)

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
        """The same, but without an answer where there is no value or `not_enough` history."""
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
        """The same, but anomalous there."""
        return replace(
            self,
            status=np.where(where, Status.ANOMALOUS, self.status).astype(np.int8),
            reason=np.where(where, why, self.reason).astype(np.int8),
        )

    def where_normal(self, where: npt.NDArray[np.bool_], why: Reason) -> Detections:
        """The same, but normal there, whatever its siblings do, and no evidence for them."""
        changed = where & self.anomalous
        return replace(
            self,
            status=np.where(changed, Status.NORMAL, self.status).astype(np.int8),
            reason=np.where(changed, why, self.reason).astype(np.int8),
            strength=np.where(where, 0.0, self.strength),
        )
