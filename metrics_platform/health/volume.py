"""Whether a day or a slot has as many rows as the same weekday usually has.

Pure. The period that is judged is never part of its own baseline; a period that was not computed is missing, one
without rows counts as zero.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

# The same weekday of so many weeks; from so many on there is a baseline. More weeks would be further behind growth:
# over five the deviation that growth itself makes is half of what it has grown by since their median.
WEEKS = 5
LEAST_WEEKS = 3
# Half of the band is so many robust deviations, never less than a share of the usual, nor than chance alone makes of
# a count (in square roots of it).
_DEVIATIONS = 4.0
_LEAST_SHARE = 0.25
_CHANCE = 5.0
_TO_SIGMA = 1.4826

Status = Literal["normal", "odd", "not_enough_history"]


@dataclass(frozen=True)
class Judgement:
    """What was found of one period.

    Attributes:
        rows: its rows.
        expected, lower, upper: the usual and its band; None: not enough history.
        weeks: how many earlier weeks it was compared with.
    """

    status: Status
    rows: int
    weeks: int
    expected: float | None = None
    lower: float | None = None
    upper: float | None = None

    @property
    def change(self) -> float | None:
        """The deviation as a share of the usual."""
        return self.rows / self.expected - 1 if self.expected else None

    @property
    def severity(self) -> Literal["critical", "warning"]:
        """Critical where half of the rows or more are missing."""
        return "critical" if self.expected and self.rows <= self.expected / 2 else "warning"


def judge(rows: int, same_weekday: Sequence[int]) -> Judgement:
    """Judge a period by the rows of the same one in the weeks before, without those that are missing."""
    if len(same_weekday) < LEAST_WEEKS:
        return Judgement("not_enough_history", rows, len(same_weekday))
    usual = statistics.median(same_weekday)
    deviation = _TO_SIGMA * statistics.median(abs(each - usual) for each in same_weekday)
    half = max(_DEVIATIONS * deviation, _LEAST_SHARE * usual, _CHANCE * max(usual, 1.0) ** 0.5)
    lower, upper = max(0.0, usual - half), usual + half
    # Where the weeks before differ wildly, the band reaches down to nothing: no rows at all are odd all the same.
    gone = rows == 0 and usual > _CHANCE**2
    odd = gone or not lower <= rows <= upper
    return Judgement("odd" if odd else "normal", rows, len(same_weekday), float(usual), lower, upper)


# An odd slot is often a short one; an hour of them is told, and what follows within two calm hours is the same.
TOLD_AFTER_SLOTS = 4
_CALM_SLOTS = 8


class Course(BaseModel):
    """How a source's slots have gone: the sensor's memory.

    Attributes:
        direction: of the odd slots; lasted: how many there were in a row.
        calm: normal slots in a row; told: whether people know.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    direction: Literal["", "up", "down"] = ""
    lasted: int = 0
    calm: int = 0
    told: bool = False


def follow(course: Course, judgement: Judgement) -> tuple[Course, bool]:
    """The course after one more slot, and whether it is to be told now."""
    if judgement.status != "odd":
        calm = course.calm + 1
        return Course(calm=calm, told=course.told and calm < _CALM_SLOTS), False
    direction: Literal["up", "down"] = "up" if (judgement.change or 0.0) > 0 or not judgement.expected else "down"
    lasted = course.lasted + 1 if direction == course.direction else 1
    tells = lasted >= TOLD_AFTER_SLOTS and not course.told
    return Course(direction=direction, lasted=lasted, told=course.told or tells), tells


def together(judgements: Sequence[Judgement]) -> Judgement:
    """Several slots as one period: their rows and their bands added up."""
    known = [each for each in judgements if each.expected is not None]
    return Judgement(
        "odd",
        sum(each.rows for each in known),
        min((each.weeks for each in known), default=0),
        sum(each.expected or 0.0 for each in known),
        sum(each.lower or 0.0 for each in known),
        sum(each.upper or 0.0 for each in known),
    )
