"""The state machine: alerts before a step and its conditions in, alerts after it and notifications to enqueue out.

Pure: no clock and no storage, so that every rule can be tried in a table. Steps come in their order.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from metrics_platform.alerts.alert import MUTED, Alert, Condition, Notification, Subject, alert_id
from metrics_platform.alerts.notifier import Notifier
from metrics_platform.alerts.policies import LOOKBACK, POLICIES, SAME_LEVEL, Inhibitors, Policies, policy_of
from metrics_platform.time_windows import SLOT, SLOT_KEY_FORMAT

_DAY = datetime.timedelta(days=1)
_NEEDED_AFTER_RETURN, _MOST_NEEDED = 4, 96
# If less than a tenth is left, it is an outage and never a new level.
_OUTAGE = -0.9
# An accepted level that fires again within this time of the last time is the same level.
_ACCEPTED_FOR = 7 * _DAY


@dataclass(frozen=True)
class Step:
    """The alerts that are open or have changed, and the notifications to enqueue."""

    alerts: tuple[Alert, ...] = ()
    notifications: tuple[Notification, ...] = ()


def step(
    now: datetime.datetime,
    alerts: Iterable[Alert],
    conditions: Iterable[Condition],
    policies: Policies = POLICIES,
    *,
    notifies: bool = True,
    is_muted: Callable[[Alert], bool] = lambda _: False,
    inhibitors: Sequence[Alert] = (),
) -> Step:
    """Update the alerts by the conditions, in their order.

    Args:
        now: when the step is.
        alerts: those that are open, and those that ended a short time ago.
        conditions: what was found.
        policies: how alerts behave.
        notifies: whether the step is recent enough. What happened in older steps and still lasts is notified at the
            first one that is.
        is_muted: whether an alert is muted, or outside of its active hours. It is notified afterwards, if it lasts.
        inhibitors: alerts of another store, which only inhibit.
    """
    update = _Update(now, alerts, policies)
    for condition in conditions:
        update.take(condition)
    update.expire()
    update.inhibit(inhibitors, is_muted)
    found = tuple(Notifier(now, update.alerts, update.firing, update.started, policies).run()) if notifies else ()
    return Step(tuple(update.changed()), found)


class _Update:
    """The alerts while a step's conditions are applied.

    Attributes:
        alerts: by id.
        firing: the condition of each alert that fires now; started: those that did not fire before.
    """

    def __init__(self, now: datetime.datetime, alerts: Iterable[Alert], policies: Policies) -> None:
        self.alerts = {alert.id: alert for alert in alerts}
        self.firing: dict[str, Condition] = {}
        self.started: set[str] = set()
        self._now = now
        self._policies = policies
        self._before = dict(self.alerts)
        self._evaluated: set[str] = set()
        self._ids: dict[Subject, dict[str, str]] = defaultdict(dict)
        for alert in sorted(self.alerts.values(), key=lambda alert: alert.opened_at):
            self._ids[alert.subject][alert.variant] = alert.id

    def take(self, condition: Condition) -> None:
        """Apply one condition."""
        known = {variant: self.alerts[name] for variant, name in self._ids[condition.subject].items()}
        if condition.status == "firing":
            self._fire(condition, known.get(condition.variant))
            for variant, alert in known.items():
                ended_by = policy_of(alert, self._policies).ended_by
                if alert.is_open and ended_by and variant != condition.variant == ended_by:
                    self._recover(alert, condition)
            return
        for alert in known.values():
            if alert.state == "pending":
                del self.alerts[alert.id], self._ids[alert.subject][alert.variant]
            elif alert.is_open and condition.status == "removed":
                self._put(alert, state="expired", closed_at=condition.at, change="metric_removed")
            elif alert.is_open and condition.status == "normal":
                self._recover(alert, condition)

    def expire(self) -> None:
        """Close what has been neither firing nor normal for too long."""
        for alert in list(self.alerts.values()):
            lasts = policy_of(alert, self._policies).expires_after
            if not alert.is_open or alert.id in self._evaluated or lasts is None:
                continue
            if self._now + SLOT - alert.last_at > lasts:
                self._put(alert, state="expired", closed_at=self._now, change="not_evaluated_for_a_day")
            else:
                self._put(alert, change="not_evaluated")

    def inhibit(self, others: Sequence[Alert], is_muted: Callable[[Alert], bool]) -> None:
        """Set what is notified instead of each open alert."""
        inhibitors = Inhibitors([*self.alerts.values(), *others], self._now)
        for alert in list(self.alerts.values()):
            # An event stays inhibited until it happens again.
            past = policy_of(alert, self._policies).is_event and alert.id not in self.firing
            if alert.is_open and not (past and alert.inhibited_by not in {"", MUTED}):
                found = inhibitors.inhibiting(alert, self.firing.get(alert.id))
                self._put(alert, inhibited_by=found or (MUTED if is_muted(alert) else ""))

    def changed(self) -> list[Alert]:
        """The alerts that are open, or have changed."""
        return [
            alert
            for name, alert in sorted(self.alerts.items())
            if alert.state in {"open", "pending"} or alert != self._before.get(name)
        ]

    def _fire(self, condition: Condition, known: Alert | None) -> None:
        before = known
        if known is None or not self._is_same(known, condition):
            known = self._opened(condition)
        elif known.state == "resolved" or (known.last_at, known.origin) != (condition.at, condition.origin):
            known = self._fired(known, condition)
        elif condition.severity == "critical" != known.severity:
            known = self._put(known, severity="critical", change="worsened", facts=condition.facts)
        elif known.change == "worsened":
            known = self._put(known, change="continues")
        self._ids[known.subject][known.variant] = known.id
        self.firing[known.id] = condition
        self._evaluated.add(known.id)
        if before is None or not before.is_open or before.normal_streak:
            self.started.add(known.id)

    def _is_same(self, known: Alert, condition: Condition) -> bool:
        """Whether a condition belongs to an alert that there is or was."""
        if known.state in {"pending", "open"}:
            return True
        if known.state == "expired" or known.closed_at is None:
            return False
        if known.is_accepted:
            worse = abs(condition.change or 0.0) > SAME_LEVEL * abs(known.worst_change or 0.0)
            return not worse and condition.at - known.last_at <= _ACCEPTED_FOR
        policy = policy_of(known, self._policies)
        has_lasted = known.closed_at - known.opened_at >= policy.remind_after
        return condition.at - known.closed_at <= (_DAY if has_lasted else policy.reopens_within)

    def _opened(self, condition: Condition) -> Alert:
        alert = Alert(
            id=alert_id([*condition.subject, condition.variant, self._now.strftime(SLOT_KEY_FORMAT)]),
            subject=condition.subject,
            variant=condition.variant,
            state="pending",
            severity=condition.severity,
            opened_at=condition.at,
            last_at=condition.at,
            normal_needed=1,
            change="opened",
            origin=condition.origin,
            worst_change=condition.change,
            worst_at=None if condition.change is None else condition.at,
            key=condition.key,
            facts=condition.facts,
        )
        policy = policy_of(alert, self._policies)
        return self._put(
            alert, normal_needed=policy.normal_after, state="open" if policy.fires_after == 1 else "pending"
        )

    def _fired(self, known: Alert, condition: Condition) -> Alert:
        """The alert after it has fired once more."""
        is_worse = condition.change is not None and abs(condition.change) > abs(known.worst_change or 0.0)
        alert = self._put(
            known,
            count=known.count + 1,
            last_at=condition.at,
            origin=condition.origin,
            key=condition.key if known.state == "pending" else known.key,
            facts=condition.facts or known.facts,
            severity="critical" if condition.severity == "critical" else known.severity,
            worst_change=condition.change if is_worse else known.worst_change,
            worst_at=condition.at if is_worse else known.worst_at,
            normal_streak=0,
            normal_since=None,
            normal_at=None,
        )
        if known.is_accepted:
            return alert
        if known.state == "pending":
            fires_after = policy_of(alert, self._policies).fires_after
            return self._put(alert, state="open") if alert.count >= fires_after else alert
        if known.state == "resolved":
            needed = min(max(_NEEDED_AFTER_RETURN, 2 * known.normal_needed), _MOST_NEEDED)
            alert = self._put(alert, state="open", closed_at=None, normal_needed=needed, change="reopened")
        else:
            alert = self._put(alert, change="worsened" if alert.severity != known.severity else "continues")
        return self._accepted(alert)

    def _accepted(self, alert: Alert) -> Alert:
        """With a level that has lasted, and does not become worse, taken as the new normal."""
        lasts = policy_of(alert, self._policies).accepts_after
        if lasts is None or alert.worst_at is None or (alert.worst_change or 0.0) <= _OUTAGE:
            return alert
        if alert.last_at - alert.opened_at < lasts or alert.last_at - alert.worst_at < LOOKBACK:
            return alert
        return self._put(alert, state="resolved", closed_at=alert.last_at, change="new_normal", inhibited_by="")

    def _recover(self, alert: Alert, condition: Condition) -> None:
        if condition.at < alert.last_at or (alert.normal_at is not None and condition.at <= alert.normal_at):
            return  # what ended before the last failure, and what was seen already, ends nothing
        self._evaluated.add(alert.id)
        streak, since = alert.normal_streak + 1, alert.normal_since or condition.at
        alert = self._put(alert, normal_streak=streak, normal_since=since, normal_at=condition.at, change="recovering")
        if streak >= alert.normal_needed:
            self._put(alert, state="resolved", closed_at=since, change="back_in_band", inhibited_by="")

    def _put(self, alert: Alert, **changes: Any) -> Alert:
        made = replace(alert, **changes)
        self.alerts[made.id] = made
        return made
