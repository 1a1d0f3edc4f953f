"""How many events a source usually has: whether a period is unusual, and whether a silence is expected.

Pure. The period that is evaluated is never part of its own baseline. A period that was not computed is missing, one
without events counts as zero.
"""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from metrics_platform.time_windows import SLOT, Slot, slot_at

# The same weekday of so many weeks; from so many on there is a baseline. More weeks would lag further behind growth.
WEEKS = 5
LEAST_WEEKS = 3
# Half of the band in robust deviations; never less than a share of the usual, nor than chance makes of a count (in
# square roots of it).
_DEVIATIONS = 4.0
_LEAST_SHARE = 0.25
_CHANCE = 5.0
_TO_SIGMA = 1.4826
# A silence in which fewer events than this are missing may be chance.
_LEAST_MISSING = 5
# A longer silence than this is not examined slot by slot.
MOST_SILENT = datetime.timedelta(days=3)
_DAY = datetime.timedelta(days=1)

Level = Literal["fresh", "warning", "critical"]


@dataclass(frozen=True)
class Volume:
    """The rows of a period, against the weeks before.

    Attributes:
        weeks: how many of them it was compared with.
        expected, lower, upper: the usual rows and the band; None: not enough history.
    """

    status: Literal["normal", "unusual", "not_enough_history"]
    rows: int
    weeks: int
    expected: float | None = None
    lower: float | None = None
    upper: float | None = None

    @property
    def change(self) -> float | None:
        """The deviation as a share of the usual rows."""
        return self.rows / self.expected - 1 if self.expected else None

    @property
    def direction(self) -> str:
        """`up` or `down`."""
        return "up" if self.rows > (self.expected or 0.0) else "down"

    @property
    def severity(self) -> Literal["critical", "warning"]:
        """Critical where half of the rows or more are missing."""
        return "critical" if self.expected and self.rows <= self.expected / 2 else "warning"


def evaluate_volume(rows: int, same_weekday: Sequence[int]) -> Volume:
    """Evaluate a period by the rows of the same one in the weeks before, without those that are missing."""
    if len(same_weekday) < LEAST_WEEKS:
        return Volume("not_enough_history", rows, len(same_weekday))
    usual = statistics.median(same_weekday)
    deviation = _TO_SIGMA * statistics.median(abs(count - usual) for count in same_weekday)
    half = max(_DEVIATIONS * deviation, _LEAST_SHARE * usual, _CHANCE * max(usual, 1.0) ** 0.5)
    lower, upper = max(0.0, usual - half), usual + half
    # Where the weeks before differ wildly, the band reaches down to zero: no rows at all are unusual all the same.
    gone = rows == 0 and usual > _CHANCE**2
    status: Literal["normal", "unusual"] = "unusual" if gone or not lower <= rows <= upper else "normal"
    return Volume(status, rows, len(same_weekday), float(usual), lower, upper)


def combined(volumes: Sequence[Volume]) -> Volume:
    """Several periods as one: their rows and their bands added up, of those that have a band."""
    known = [volume for volume in volumes if volume.expected is not None]
    return Volume(
        "unusual",
        sum(volume.rows for volume in known),
        min((volume.weeks for volume in known), default=0),
        sum(volume.expected or 0.0 for volume in known),
        sum(volume.lower or 0.0 for volume in known),
        sum(volume.upper or 0.0 for volume in known),
    )


class Limits(NamedTuple):
    """For how long events may be missing where they are usual. A limit of a day or more counts every hour."""

    warning: datetime.timedelta
    critical: datetime.timedelta

    def exceeded(self, level: Level) -> datetime.timedelta:
        """The limit of a level."""
        return self.critical if level == "critical" else self.warning


def usual_rows(weeks: Sequence[int], days: Sequence[int]) -> int | None:
    """How many rows a slot has at least, in all but one of the weeks before (else of the days before).

    None: not enough history.
    """
    return next((sorted(counts)[1] for counts in (weeks, days) if len(counts) >= LEAST_WEEKS), None)


def silent_slots(latest: datetime.datetime, now: datetime.datetime) -> list[Slot]:
    """The slots that a silence touches, at most those of the last MOST_SILENT."""
    first = slot_at(max(latest, now - MOST_SILENT))
    return [Slot(first.start + number * SLOT) for number in range(-(-(now - first.start) // SLOT))]


def staleness(
    latest: datetime.datetime | None, now: datetime.datetime, limits: Limits, usual: Mapping[Slot, int | None]
) -> Level:
    """How stale a source is whose latest event is this; without any event it is as stale as can be.

    `usual` are the rows that its silent slots usually have, as far as they are known: slots without any do not count.
    """
    if latest is None:
        return "critical"
    time, events = datetime.timedelta(0), 0.0
    for slot in silent_slots(latest, now):
        silent = min(slot.end, now) - max(slot.start, latest)
        rows = usual.get(slot)
        if rows is None or rows > 0:
            time += silent
            events += _LEAST_MISSING if rows is None else rows * (silent / SLOT)
    if events < _LEAST_MISSING:
        time = datetime.timedelta(0)

    def exceeds(limit: datetime.timedelta) -> bool:
        return (now - latest if limit >= _DAY else time) >= limit

    return "critical" if exceeds(limits.critical) else "warning" if exceeds(limits.warning) else "fresh"
