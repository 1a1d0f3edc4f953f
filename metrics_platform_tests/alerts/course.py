"""A course of slots for the alert engine: what each metric was in each slot, and what was notified at which."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from metrics_platform.alerts.alert import Alert, Notification
from metrics_platform.alerts.anomalies import Series, Verdict, conditions_of
from metrics_platform.alerts.engine import step
from metrics_platform.alerts.policies import POLICIES, Policies
from metrics_platform.catalog import builtin_catalog
from metrics_platform.time_windows import SLOT, Slot

START = datetime.datetime(2026, 11, 20, 10, tzinfo=datetime.UTC)
METRICS = {name: metric.source for name, metric in builtin_catalog().metrics.items()}
SERIES = {
    "views": Series("views"),
    "likes": Series("likes"),
    "messages": Series("messages"),
    "views Android": Series("views", "os", "Android"),
    "views iOS": Series("views", "os", "iOS"),
    "likes Android": Series("likes", "os", "Android"),
}
_VALUES = {".": 100.0, "-": 75.0, "=": 20.0, "0": 0.0, "+": 140.0, "*": 200.0, "h": 80.0, "t": 80.0}
_SEVERITIES = {".": "", "-": "warning", "h": "warning", "t": "warning"}
_REASONS = {"h": "last_hour", "t": "last_two_hours"}


def verdict(series: Series, sign: str) -> Verdict:
    """A verdict by one character.

    `.` normal, `-` a fall, `=` a critical one, `0` a fall to nothing, `+` a rise, `*` a larger one, `?` unknown; `h`
    and `t` falls that only the last hour and the last two hours show.
    """
    if sign == "?":
        return Verdict(series, "unknown")
    severity = _SEVERITIES.get(sign, "critical")
    status = "anomalous" if severity else "normal"
    reason = _REASONS.get(sign, "this_slot")
    return Verdict(series, status, severity, reason, value=_VALUES[sign], expected=100.0)


@dataclass
class Course:
    """Steps through slots, keeping alerts as the store does."""

    policies: Policies = field(default_factory=lambda: POLICIES)
    alerts: dict[str, Alert] = field(default_factory=dict)
    sent: list[tuple[int, Notification]] = field(default_factory=list)
    number: int = 0

    def run(
        self,
        lines: Mapping[str, str],
        *,
        old: Iterable[int] = (),
        muted: Iterable[int] = (),
        stale: Iterable[int] = (),
        metrics: Mapping[str, str] | None = None,
    ) -> str:
        """One slot per character of the lines; what was notified, such as `2 opened, 7 resolved`.

        Nothing is notified at the slots `old`, everything is muted at the slots `muted`, and the feed is stale, which
        was notified, at the slots `stale`.
        """
        before = len(self.sent)
        length = max(map(len, lines.values()))
        for position in range(length):
            signs = {SERIES[name]: line[position] for name, line in lines.items() if position < len(line)}
            verdicts = [verdict(series, sign) for series, sign in signs.items() if sign != " "]
            slot = Slot(START + self.number * SLOT)
            alerts = self.alerts.values()
            found = step(
                slot.start,
                alerts,
                list(conditions_of(slot, verdicts, alerts, metrics or METRICS)),
                self.policies,
                notifies=self.number not in set(old),
                is_muted=lambda _, number=self.number: number in set(muted),  # type: ignore[misc]
                inhibitors=[_stale_alert()] if self.number in set(stale) else [],
            )
            self.alerts |= {alert.id: alert for alert in found.alerts}
            self.sent += [(self.number, notification) for notification in found.notifications]
            self.number += 1
        return ", ".join(f"{number} {notification.kind}" for number, notification in self.sent[before:])

    def alert(self, name: str) -> Alert:
        """The latest alert of a series."""
        found = [alert for alert in self.alerts.values() if Series.of(alert) == SERIES[name]]
        return max(found, key=lambda alert: alert.opened_at)

    def names(self, position: int) -> set[str]:
        """The series that a notification is about."""
        names = {series: name for name, series in SERIES.items()}
        return {names[Series.of(alert)] for alert in self.sent[position][1].alerts}


def _stale_alert() -> Alert:
    from metrics_platform.alerts.alert import Subject

    return Alert(
        id="STALE",
        subject=Subject("stale_data", "feed_actions"),
        variant="",
        state="open",
        severity="warning",
        opened_at=START,
        last_at=START,
        normal_needed=2,
        change="opened",
        origin="feed_actions",
        notification="stale-feed_actions",
        notified_at=START,
    )
