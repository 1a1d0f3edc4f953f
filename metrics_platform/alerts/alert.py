"""What a condition, an alert and a notification are."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from metrics_platform.channel_settings import Severity

Kind = Literal[
    "anomaly",
    "stale_data",
    "odd_day",
    "odd_hour",
    "failed_run",
    "failed_check",
    "failed_tick",
    "code_location",
    "report_not_delivered",
]
State = Literal["pending", "open", "resolved", "expired"]
# Why an alert changed last. `new_normal`: the level has lasted and is expected from now on.
Change = Literal[
    "opened",
    "continues",
    "worsened",
    "recovering",
    "back_in_band",
    "not_evaluated",
    "not_evaluated_for_a_day",
    "metric_removed",
    "reopened",
    "new_normal",
]
NotificationKind = Literal["opened", "updated", "worsened", "reminder", "batch", "resolved"]
TOTAL = "total"
# What an alert that is muted, or outside of its active hours, is inhibited by.
MUTED = "muted"
# Letters and digits that no one confuses when reading an id aloud.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class Subject(NamedTuple):
    """What an alert is about: a metric (of a slice), a source, a job, a check, a schedule."""

    kind: Kind
    name: str
    dimension: str = TOTAL
    value: str = TOTAL


@dataclass(frozen=True)
class Condition:
    """What was found about a subject at a moment.

    Attributes:
        status: `normal` and `unknown` apply to every alert of the subject, `removed` closes them.
        at: when it happened. The same moment and origin reported again is the same occurrence.
        variant: which of the subject's alerts it is: the direction of a change, or the cause of a failure.
        origin: what it has in common with other conditions: the source of a metric, the run of a check, the code
            location of a schedule. Inhibition compares it.
        change: the size of the deviation, as a share of the expected value.
        since: the start of the period that was looked at; None: `at`.
        key: the key of a notification about it alone.
        facts: what its message needs beyond that; JSON.
    """

    subject: Subject
    status: Literal["firing", "normal", "unknown", "removed"]
    at: datetime.datetime
    variant: str = ""
    severity: Severity = "warning"
    origin: str = ""
    change: float | None = None
    since: datetime.datetime | None = None
    key: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of what was expected."""
        return self.change is not None and self.change <= -1


@dataclass(frozen=True)
class Alert:
    """An alert after a step.

    Attributes:
        id: five letters and digits.
        severity: the worst so far.
        opened_at, last_at: when it fired first and last; closed_at: since when it is over.
        count: how often it has fired; notified_count: how many of these people know of.
        normal_streak: how often in a row it has been normal, normal_needed: after how often it is over.
        normal_since, normal_at: the first and the last of these.
        worst_change, worst_at: the largest deviation.
        inhibited_by: what is notified instead of it; empty: nothing.
        notification: the key of the message it was notified in; empty: none yet.
        notified_at: when that was; reminders: how many reminders were due since; cleared: its end was notified.
        key: the key of a message about it alone.
        answered_by, note: who marked it as not an incident, and why; empty: no one did.
        quiet_up_to: the deviation up to which it then keeps its series quiet.
    """

    id: str
    subject: Subject
    variant: str
    state: State
    severity: Severity
    opened_at: datetime.datetime
    last_at: datetime.datetime
    normal_needed: int
    change: Change
    origin: str = ""
    count: int = 1
    notified_count: int = 0
    normal_streak: int = 0
    normal_since: datetime.datetime | None = None
    normal_at: datetime.datetime | None = None
    closed_at: datetime.datetime | None = None
    worst_change: float | None = None
    worst_at: datetime.datetime | None = None
    inhibited_by: str = ""
    notification: str = ""
    notified_at: datetime.datetime | None = None
    reminders: int = 0
    cleared: bool = False
    key: str = ""
    answered_by: str = ""
    note: str = ""
    quiet_up_to: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether it is not over."""
        return self.state == "open"

    @property
    def is_accepted(self) -> bool:
        """Whether its level was accepted as the new normal."""
        return self.change == "new_normal"

    @property
    def is_answered(self) -> bool:
        """Whether someone marked it as not an incident."""
        return bool(self.answered_by)

    @property
    def answer(self) -> str:
        """Who marked it as not an incident, and why; empty: no one did."""
        if not self.is_answered:
            return ""
        return f"not an incident ({self.answered_by})" + (f": {self.note}" if self.note else "")

    @property
    def is_total(self) -> bool:
        """Whether it is about a whole, not a slice."""
        return self.subject.dimension == TOTAL

    @property
    def labels(self) -> Mapping[str, str]:
        """What inhibition rules and mutes match."""
        return {
            "kind": self.subject.kind,
            "name": self.subject.name,
            "subject": "|".join(self.subject),
            "scope": TOTAL if self.is_total else "slice",
            "variant": self.variant,
            "origin": self.origin,
            "severity": self.severity,
            "notified": "yes" if self.notification else "no",
            "accepted": "yes" if self.is_accepted else "no",
            "answered": "yes" if self.is_answered else "no",
        }


@dataclass(frozen=True)
class Notification:
    """A notification to enqueue.

    Attributes:
        kind: a new message, a change of one, worse than notified before, a reminder, several failures in one message,
            or the all-clear.
        key: its key; thread: the key of the message it belongs to, of all but new messages.
        alerts: what it is about; new_counts: how often each has fired since people were notified last.
        at: the step.
    """

    kind: NotificationKind
    key: str
    thread: str
    alerts: tuple[Alert, ...]
    at: datetime.datetime
    new_counts: tuple[int, ...] = ()


def alert_id(parts: Iterable[str]) -> str:
    """Five letters and digits, the same for the same parts."""
    digest = hashlib.sha256("|".join(parts).encode()).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:5])
