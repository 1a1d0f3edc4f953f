"""What an incident is, and the verdict it is made of."""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass
from typing import Literal, NamedTuple

from metrics_platform.calendar import Slot

State = Literal["open", "resolved", "expired"]
Direction = Literal["up", "down"]
# Why an incident changed at a slot.
Change = Literal[
    "opened",
    "continues",
    "worsened",
    "swung",
    "calm",
    "back_in_band",
    "not_judged",
    "not_judged_for_a_day",
    "metric_removed",
    "reopened",
]
# Letters and digits that nobody mixes up when reading an id aloud.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class Series(NamedTuple):
    """A metric of the whole product (dimension «total») or of a slice."""

    metric: str
    dimension: str
    dimension_value: str

    @property
    def is_total(self) -> bool:
        """Whether it is the whole product."""
        return self.dimension == "total"

    @property
    def total(self) -> Series:
        """The same metric of the whole product."""
        return Series(self.metric, "total", "total")


@dataclass(frozen=True)
class Verdict:
    """The verdict on one series in one slot, as in the table `verdicts`."""

    series: Series
    status: str
    severity: str = ""
    reason: str = ""
    detector: str = ""
    value: float | None = None
    trials: float | None = None
    expected: float | None = None
    lower: float | None = None
    upper: float | None = None
    score: float | None = None

    @property
    def change(self) -> float | None:
        """The deviation as a share of the expected."""
        return self.value / self.expected - 1 if self.value is not None and self.expected else None

    @property
    def direction(self) -> Direction:
        """Where it went."""
        return "up" if (self.value or 0.0) > (self.expected or 0.0) else "down"


@dataclass(frozen=True)
class Incident:
    """An incident as it stands after a slot; all moments are begins of slots.

    Attributes:
        incident: its id: five letters and digits.
        severity: the worst so far.
        opened_at: the first anomalous slot.
        last_at: the last slot with a verdict that was not normal.
        closed_at: the first of the slots back in the band; None while it is open.
        calm: how many slots in a row have been normal; needed: after how many it is over.
        worst_change, worst_at: the largest deviation, as a share of the expected.
        folded_into: the total's incident that it is a part of at the moment, or «stale» and the source that has no
            events; empty: of none.
        message: the notification that tells of it; empty: nobody has been told.
        told_at: when that was; reminders: how often people have been reminded; cleared: they know that it is over.
        change: why it changed at the last slot.
    """

    incident: str
    series: Series
    state: State
    direction: Direction
    severity: str
    opened_at: datetime.datetime
    last_at: datetime.datetime
    needed: int
    change: Change
    closed_at: datetime.datetime | None = None
    calm: int = 0
    worst_change: float | None = None
    worst_at: datetime.datetime | None = None
    folded_into: str = ""
    message: str = ""
    told_at: datetime.datetime | None = None
    reminders: int = 0
    cleared: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it is not over."""
        return self.state == "open"


def incident_id(series: Series, slot: Slot) -> str:
    """Five letters and digits, the same for the same series and slot."""
    digest = hashlib.sha256("|".join((*series, slot.key)).encode()).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:5])
