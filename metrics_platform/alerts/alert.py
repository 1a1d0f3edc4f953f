"""The types of the alert engine: conditions, alerts and notifications."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from metrics_platform.channel_settings import Severity

Kind = Literal[
    "anomaly", "stale_data", "odd_day", "odd_hour", "failed_run", "failed_check", "failed_tick", "code_location",
    "report_not_delivered",
]  # fmt: skip
State = Literal["pending", "open", "resolved", "expired"]
# Why an alert changed last. `new_normal`: the level has lasted and is expected from now on.
Change = Literal[
    "opened", "continues", "worsened", "recovering", "back_in_band", "not_evaluated", "not_evaluated_for_a_day",
    "metric_removed", "reopened", "new_normal",
]  # fmt: skip
# A new message, an edit, a more severe state, a reminder, several failures in one message, the all-clear.
NotificationKind = Literal["opened", "updated", "worsened", "reminder", "batch", "resolved"]
TOTAL = "total"
# `inhibited_by` of an alert that is muted or outside its active hours.
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
    """The state of a subject at a moment."""

    subject: Subject
    # `normal` and `unknown` apply to every alert of the subject, `removed` closes them.
    status: Literal["firing", "normal", "unknown", "removed"]
    # When it happened. A second report with the same moment and origin is the same occurrence.
    at: datetime.datetime
    # Which of the subject's alerts it is: the direction of a change, or the cause of a failure.
    variant: str = ""
    severity: Severity = "warning"
    # What it shares with other conditions: the source of a metric, the run of a check, the code location of a schedule.
    # Inhibition rules compare it.
    origin: str = ""
    # The size of the deviation, as a share of the expected value.
    change: float | None = None
    # The start of the evaluated period; None: `at`.
    since: datetime.datetime | None = None
    # The key of a notification about it alone.
    key: str = ""
    # Further facts for its message; JSON.
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether the value has dropped to zero."""
        return self.change is not None and self.change <= -1


@dataclass(frozen=True)
class Alert:
    """An alert after a step."""

    id: str
    subject: Subject
    variant: str
    state: State
    # The worst so far.
    severity: Severity
    # When it first and last fired.
    opened_at: datetime.datetime
    last_at: datetime.datetime
    # How often in a row it must be normal before it ends.
    normal_needed: int
    change: Change
    origin: str = ""
    # How often it has fired, and how many of these were notified.
    count: int = 1
    notified_count: int = 0
    # How often in a row it has been normal, and when first and last.
    normal_streak: int = 0
    normal_since: datetime.datetime | None = None
    normal_at: datetime.datetime | None = None
    # When it ended.
    closed_at: datetime.datetime | None = None
    # The largest deviation.
    worst_change: float | None = None
    worst_at: datetime.datetime | None = None
    # The alert that is notified instead; empty: none.
    inhibited_by: str = ""
    # The key of its message (empty: not notified yet), when it was sent, how many reminders were due since, and whether
    # the end was notified.
    notification: str = ""
    notified_at: datetime.datetime | None = None
    reminders: int = 0
    cleared: bool = False
    # The key of a message about it alone.
    key: str = ""
    # Who marked it as not an incident (empty: no one), why, and the deviation up to which its series then stays quiet.
    answered_by: str = ""
    note: str = ""
    quiet_up_to: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        return self.state == "open"

    @property
    def is_accepted(self) -> bool:
        """Whether its level was accepted as the new normal."""
        return self.change == "new_normal"

    @property
    def answer(self) -> str:
        """Who marked it as not an incident, and why; empty: no one did."""
        note = f": {self.note}" if self.note else ""
        return f"not an incident ({self.answered_by}){note}" if self.answered_by else ""

    @property
    def is_total(self) -> bool:
        return self.subject.dimension == TOTAL

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels that inhibition rules match."""
        return {
            "kind": self.subject.kind,
            "name": self.subject.name,
            "subject": "|".join(self.subject),
            "scope": TOTAL if self.is_total else "slice",
            "variant": self.variant,
            "origin": self.origin,
            "notified": "yes" if self.notification else "no",
            "accepted": "yes" if self.is_accepted else "no",
            "answered": "yes" if self.answered_by else "no",
        }


@dataclass(frozen=True)
class Notification:
    """A notification to enqueue."""

    kind: NotificationKind
    key: str
    # The key of the message it belongs to; empty for a new message.
    thread: str
    alerts: tuple[Alert, ...]
    # How often each alert has fired since the last notification.
    new_counts: tuple[int, ...] = ()


def alert_id(parts: Iterable[str]) -> str:
    digest = hashlib.sha256("|".join(parts).encode()).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:5])
