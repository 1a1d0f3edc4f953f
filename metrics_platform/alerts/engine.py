"""The state machine: it takes alerts and conditions, and returns the alerts after the step and the notifications.

It is pure: no clock and no storage, so every rule can be tested with a table. Steps must be in chronological order. In
a flood of failures, the first few are notified separately and the others in batches.
"""

from __future__ import annotations

import datetime
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from metrics_platform.alerts.alert import MUTED, Alert, Condition, Notification, NotificationKind, Subject, alert_id
from metrics_platform.alerts.policies import LOOKBACK, POLICIES, SAME_LEVEL, Inhibitors, Policies, Policy, policy_of
from metrics_platform.time_windows import SLOT, SLOT_KEY_FORMAT

_DAY = datetime.timedelta(days=1)
_NORMAL_NEEDED_AFTER_REOPENING, _MAX_NORMAL_NEEDED = 4, 96
# A drop by more than this is an outage and never a new level.
_OUTAGE = -0.9
# An accepted level that fires again within this time is the same level.
_SAME_LEVEL_WITHIN = 7 * _DAY
_MAX_REMINDERS = 100
# How many failures are notified separately: per hour, and per subject until they are over.
_SEPARATE_PER_HOUR = 5
_SEPARATE_PER_SUBJECT = 2
# The first batch is sent after this delay. The gaps before the next ones double.
_BATCH_DELAY = datetime.timedelta(minutes=5)
_HOUR = datetime.timedelta(hours=1)
_MAX_BATCH_GAP = 8 * _HOUR
# At most this many alerts about the platform are kept.
MAX_ALERTS = 200
_BATCH = "failures-"


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
    """Apply the conditions to the alerts, in their order.

    Args:
        now: the time of the step.
        alerts: the open alerts, and those that ended recently.
        conditions: the conditions of the step.
        policies: how alerts behave.
        notifies: whether the step is recent enough to notify. Alerts of older steps that are still open are notified at
            the first recent step.
        is_muted: whether an alert is muted or outside its active hours. It is notified later if it is still open.
        inhibitors: alerts of another store, which only inhibit.
    """
    update = _Update(now, alerts, policies)
    for condition in conditions:
        update.apply(condition)
    update.expire()
    update.inhibit(inhibitors, is_muted)
    notifications = tuple(update.notifications()) if notifies else ()
    return Step(tuple(update.changed()), notifications)


class _Update:
    """The alerts during a step. It applies the conditions, then creates notifications and marks the alerts."""

    def __init__(self, now: datetime.datetime, alerts: Iterable[Alert], policies: Policies) -> None:
        self.alerts = {alert.id: alert for alert in alerts}
        # The condition of each firing alert, and the alerts that did not fire before.
        self._firing: dict[str, Condition] = {}
        self._started: set[str] = set()
        self._changed: set[str] = set()  # messages to edit
        self._now, self._stamp = now, now.strftime(SLOT_KEY_FORMAT)
        self._policies = policies
        self._before = dict(self.alerts)
        self._evaluated: set[str] = set()
        self._ids: dict[Subject, dict[str, str]] = defaultdict(dict)
        for alert in sorted(self.alerts.values(), key=lambda alert: alert.opened_at):
            self._ids[alert.subject][alert.variant] = alert.id

    def apply(self, condition: Condition) -> None:
        existing = {variant: self.alerts[name] for variant, name in self._ids[condition.subject].items()}
        if condition.status == "firing":
            self._fire(condition, existing.get(condition.variant))
            for variant, alert in existing.items():
                ended_by = self._policy(alert).ended_by
                if alert.is_open and ended_by and variant != condition.variant == ended_by:
                    self._recover(alert, condition)
            return
        for alert in existing.values():
            if alert.state == "pending":
                del self.alerts[alert.id], self._ids[alert.subject][alert.variant]
            elif alert.is_open and condition.status == "removed":
                self._replace(alert, state="expired", closed_at=condition.at, change="metric_removed")
            elif alert.is_open and condition.status == "normal":
                self._recover(alert, condition)

    def expire(self) -> None:
        """Close alerts that have been neither firing nor normal for too long."""
        for alert in list(self.alerts.values()):
            expires_after = self._policy(alert).expires_after
            if not alert.is_open or alert.id in self._evaluated or expires_after is None:
                continue
            if self._now + SLOT - alert.last_at > expires_after:
                self._replace(alert, state="expired", closed_at=self._now, change="not_evaluated_for_a_day")
            else:
                self._replace(alert, change="not_evaluated")

    def inhibit(self, others: Sequence[Alert], is_muted: Callable[[Alert], bool]) -> None:
        """Set for each open alert what inhibits it."""
        inhibitors = Inhibitors([*self.alerts.values(), *others], self._now)
        for alert in list(self.alerts.values()):
            # An event stays inhibited until it occurs again.
            is_past_event = self._policy(alert).is_event and alert.id not in self._firing
            if alert.is_open and not (is_past_event and alert.inhibited_by not in {"", MUTED}):
                inhibitor = inhibitors.inhibitor_of(alert, self._firing.get(alert.id))
                self._replace(alert, inhibited_by=inhibitor or (MUTED if is_muted(alert) else ""))

    def changed(self) -> list[Alert]:
        return [
            alert
            for name, alert in sorted(self.alerts.items())
            if alert.state in {"open", "pending"} or alert != self._before.get(name)
        ]

    def _fire(self, condition: Condition, alert: Alert | None) -> None:
        before = alert
        if alert is None or not self._is_same(alert, condition):
            alert = self._new_alert(condition)
        elif alert.state == "resolved" or (alert.last_at, alert.origin) != (condition.at, condition.origin):
            alert = self._fire_again(alert, condition)
        elif condition.severity == "critical" != alert.severity:
            alert = self._replace(alert, severity="critical", change="worsened", facts=condition.facts)
        elif alert.change == "worsened":
            alert = self._replace(alert, change="continues")
        self._ids[alert.subject][alert.variant] = alert.id
        self._firing[alert.id] = condition
        self._evaluated.add(alert.id)
        if before is None or not before.is_open or before.normal_streak:
            self._started.add(alert.id)

    def _is_same(self, alert: Alert, condition: Condition) -> bool:
        """Whether a condition belongs to this existing alert."""
        if alert.state in {"pending", "open"}:
            return True
        if alert.state == "expired" or alert.closed_at is None:
            return False
        if alert.is_accepted:
            worse = abs(condition.change or 0.0) > SAME_LEVEL * abs(alert.worst_change or 0.0)
            return not worse and condition.at - alert.last_at <= _SAME_LEVEL_WITHIN
        policy = self._policy(alert)
        has_lasted = alert.closed_at - alert.opened_at >= policy.remind_after
        return condition.at - alert.closed_at <= (_DAY if has_lasted else policy.reopens_within)

    def _new_alert(self, condition: Condition) -> Alert:
        alert = Alert(
            id=alert_id([*condition.subject, condition.variant, self._stamp]),
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
        policy = self._policy(alert)
        return self._replace(
            alert, normal_needed=policy.normal_after, state="open" if policy.fires_after == 1 else "pending"
        )

    def _fire_again(self, before: Alert, condition: Condition) -> Alert:
        is_worse = condition.change is not None and abs(condition.change) > abs(before.worst_change or 0.0)
        alert = self._replace(
            before,
            count=before.count + 1,
            last_at=condition.at,
            origin=condition.origin,
            key=condition.key if before.state == "pending" else before.key,
            facts=condition.facts or before.facts,
            severity="critical" if condition.severity == "critical" else before.severity,
            worst_change=condition.change if is_worse else before.worst_change,
            worst_at=condition.at if is_worse else before.worst_at,
            normal_streak=0,
            normal_since=None,
            normal_at=None,
        )
        if before.is_accepted:
            return alert
        if before.state == "pending":
            fires_after = self._policy(alert).fires_after
            return self._replace(alert, state="open") if alert.count >= fires_after else alert
        if before.state == "resolved":
            needed = min(max(_NORMAL_NEEDED_AFTER_REOPENING, 2 * before.normal_needed), _MAX_NORMAL_NEEDED)
            alert = self._replace(alert, state="open", closed_at=None, normal_needed=needed, change="reopened")
        else:
            alert = self._replace(alert, change="worsened" if alert.severity != before.severity else "continues")
        return self._accept_level(alert)

    def _accept_level(self, alert: Alert) -> Alert:
        """Resolve the alert as the new normal if its level has lasted and does not become worse."""
        accepts_after = self._policy(alert).accepts_after
        if accepts_after is None or alert.worst_at is None or (alert.worst_change or 0.0) <= _OUTAGE:
            return alert
        if alert.last_at - alert.opened_at < accepts_after or alert.last_at - alert.worst_at < LOOKBACK:
            return alert
        return self._replace(alert, state="resolved", closed_at=alert.last_at, change="new_normal", inhibited_by="")

    def _recover(self, alert: Alert, condition: Condition) -> None:
        if condition.at < alert.last_at or (alert.normal_at is not None and condition.at <= alert.normal_at):
            return  # it was normal before the last failure, or this was already counted
        self._evaluated.add(alert.id)
        streak, since = alert.normal_streak + 1, alert.normal_since or condition.at
        alert = self._replace(
            alert, normal_streak=streak, normal_since=since, normal_at=condition.at, change="recovering"
        )
        if streak >= alert.normal_needed:
            self._replace(alert, state="resolved", closed_at=since, change="back_in_band", inhibited_by="")

    def _policy(self, alert: Alert) -> Policy:
        return policy_of(alert, self._policies)

    def _replace(self, alert: Alert, **changes: Any) -> Alert:
        updated = replace(alert, **changes)
        self.alerts[updated.id] = updated
        return updated

    # --- notifications -----------------------------------------------------------------------------------------------

    def notifications(self) -> list[Notification]:
        """The notifications, in the order of sending."""
        reopenings = list(self._reopenings())
        openings = list(self._openings())
        worsenings = list(self._worsenings())
        updates = [
            self._notify("updated", f"{message}-{self._stamp}", message, self._members(message, only_open=True))
            for message in sorted(self._changed - {opening.key for opening in openings})
        ]
        return [*openings, *updates, *worsenings, *reopenings, *self._reminders(), *self._all_clears()]

    def _openings(self) -> Iterator[Notification]:
        grouped: list[Alert] = []
        batched: list[Alert] = []
        separate: list[Alert] = []
        for alert in sorted(filter(self._is_unnotified, self.alerts.values()), key=_sort_key):
            policy = self._policy(alert)
            (grouped if policy.is_grouped else batched if policy.is_batched else separate).append(alert)
        yield from self._open_group(grouped)
        separate_failures, batch, number = self._sort_failures(batched)
        for alert in [*separate, *separate_failures]:
            yield self._notify("opened", alert.key, "", [alert], notified_at=self._now)
        if batch:
            key = f"{_BATCH}{self._now.astimezone(datetime.UTC):%Y-%m-%dT%H%M%S}"
            yield self._notify("batch", key, "", batch, notified_at=self._now, reminders=number)

    def _sort_failures(self, waiting: Iterable[Alert]) -> tuple[list[Alert], list[Alert], int]:
        """The failures to notify separately, those to notify in a batch, and the number of the batch in a row.

        The batch has `waiting` failures, and those of earlier batches that failed again.
        """
        failures = [alert for alert in self.alerts.values() if self._policy(alert).is_batched]
        notified = [alert for alert in failures if alert.notification and not is_batched(alert)]
        quota = _SEPARATE_PER_HOUR - sum(self._now - (alert.notified_at or self._now) < _HOUR for alert in notified)
        number_by_subject = Counter(alert.subject for alert in notified if alert.is_open)
        separate: list[Alert] = []
        pending: list[Alert] = []
        for alert in sorted(waiting, key=lambda alert: (alert.opened_at, alert.id)):
            is_separate = len(separate) < quota and number_by_subject[alert.subject] < _SEPARATE_PER_SUBJECT
            (separate if is_separate else pending).append(alert)
            number_by_subject[alert.subject] += is_separate
        repeated = [
            alert
            for alert in failures
            if is_batched(alert) and alert.is_open and alert.count > alert.notified_count and not alert.inhibited_by
        ]
        batch = [*pending, *repeated]
        since = min((alert.last_at if alert.notified_at else alert.opened_at for alert in batch), default=self._now)
        batches = [
            (alert.notified_at, alert.reminders) for alert in failures if is_batched(alert) and alert.notified_at
        ]
        gaps = [self._now - at for at, _ in batches]
        recent = max((number for at, number in batches if self._now - at <= 2 * _MAX_BATCH_GAP), default=0)
        gap = min(_HOUR * 2 ** max(0, recent - 1), _MAX_BATCH_GAP) if len(batch) < MAX_ALERTS // 2 else _BATCH_DELAY
        if self._now - since < _BATCH_DELAY or min(gaps, default=gap) < gap:
            return separate, [], recent
        if len(pending) <= _SEPARATE_PER_SUBJECT and not repeated:  # no flood after all
            return [*separate, *pending], [], recent
        return separate, batch, recent + 1

    def _is_unnotified(self, alert: Alert) -> bool:
        """Whether an alert is still to be notified: it is open, firing and not inhibited."""
        fires = self._policy(alert).is_event or alert.id in self._firing
        return alert.is_open and fires and not alert.notification and not alert.inhibited_by

    def _open_group(self, waiting: Iterable[Alert]) -> Iterator[Notification]:
        """One message for all new alerts, except those that join a recent message."""
        new = []
        for alert in waiting:
            if other := self._message_to_join(alert):
                self._replace(alert, notification=other.notification, notified_at=other.notified_at)
                self._changed.add(other.notification)
            else:
                new.append(alert)
        if new:
            yield self._notify("opened", f"anomaly-{self._stamp}", "", new, notified_at=self._now)

    def _message_to_join(self, alert: Alert) -> Alert | None:
        """An alert whose message this one may join: open, in the same direction, and at least as severe."""
        candidates = [
            other
            for other in self.alerts.values()
            if other.is_open
            and other.notification
            and other.variant == alert.variant
            and self._policy(other).is_grouped
            and (other.severity == "critical" or alert.severity != "critical")
            and self._is_related(alert, other)
        ]
        return max(candidates, key=lambda other: other.notification, default=None)

    def _is_related(self, alert: Alert, other: Alert) -> bool:
        """Whether two alerts may have the same cause: they share a source, or began at the same time.

        A failure of another source is news and makes a sound. Smaller metrics show a partial failure later, but a total
        one immediately.
        """
        if other.id in self._started:
            return True
        notified_at = other.notified_at or other.opened_at
        age = self._now - notified_at
        origins = {member.origin for member in self._members(other.notification)}
        if alert.variant == "up" or alert.origin in origins:
            return age < self._policy(other).joins_within
        condition = self._firing[alert.id]
        return (condition.since or condition.at) <= notified_at or (age < LOOKBACK and not condition.is_empty)

    def _reopenings(self) -> Iterator[Notification]:
        """Reminders of alerts that reopened after their all-clear: users believe that they are over."""
        reopened: dict[str, list[Alert]] = defaultdict(list)
        for alert in sorted(self.alerts.values(), key=_sort_key):
            if alert.is_open and alert.cleared and alert.id in self._firing and not alert.inhibited_by:
                reopened[alert.notification].append(alert)
        for message, members in sorted(reopened.items()):
            policy = self._policy(members[0])
            is_over = all(alert.cleared for alert in self._members(message))
            number = max(max(alert.reminders for alert in members) + 1, self._reminders_due(members))
            returned = [self._replace(alert, cleared=False, reminders=number) for alert in members]
            if policy.is_grouped:
                self._changed.add(message)
            if is_over and policy.notifies_reopening and self._is_reminded(returned[0]):
                # The slot or the count makes the key unique among the notifications of a message.
                stamp = self._stamp if policy.is_grouped else returned[0].count
                yield self._notify("reminder", f"{message}-again-{stamp}", message, returned)

    def _worsenings(self) -> Iterator[Notification]:
        """Alerts that became critical. A grouped alert's message is edited; others get a new message."""
        for alert in sorted(self.alerts.values(), key=_sort_key):
            if alert.change != "worsened" or not alert.notification or alert.id not in self._firing:
                continue
            if self._policy(alert).is_grouped:
                self._changed.add(alert.notification)
            elif self._is_reminded(alert) and not alert.inhibited_by:
                yield self._notify("worsened", f"{alert.notification}-critical", alert.notification, [alert])

    def _reminders(self) -> Iterator[Notification]:
        """Remind of alerts that are still open, or failed again. The gaps start at some hours and double."""
        for message in sorted({alert.notification for alert in self.alerts.values() if self._is_reminded(alert)}):
            members = self._members(message, only_open=True)
            due = [alert for alert in members if self._is_due(alert)]
            number = self._reminders_due(members)
            if not due or number <= max(alert.reminders for alert in members):
                continue
            # Missed reminders are not sent later.
            for alert in members:
                self._replace(alert, reminders=number)
            yield self._notify("reminder", f"{message}-reminder-{number}", message, due, reminders=number)

    def _is_reminded(self, alert: Alert) -> bool:
        notified = alert.is_open and alert.notification and not is_batched(alert)
        return bool(notified) and self._policy(alert).reminds != "never"

    def _is_due(self, alert: Alert) -> bool:
        if alert.inhibited_by:
            return False
        repeats = self._policy(alert).reminds == "when_repeated"
        return alert.count > alert.notified_count if repeats else alert.id in self._firing

    def _reminders_due(self, members: list[Alert]) -> int:
        policy = self._policy(members[0])
        at = min(alert.notified_at or self._now for alert in members)
        gap = policy.remind_after
        for number in range(_MAX_REMINDERS):
            at += min(gap * 2**number, policy.longest_gap)
            if at > self._now:
                return number
        return _MAX_REMINDERS

    def _all_clears(self) -> Iterator[Notification]:
        waiting = [alert for alert in self.alerts.values() if alert.notification and not alert.cleared]
        for message in sorted({alert.notification for alert in waiting if alert.state in {"resolved", "expired"}}):
            members = self._members(message)
            if any(alert.is_open for alert in members):
                continue
            resolved = [self._replace(alert, cleared=True) for alert in members if not alert.cleared]
            if self._policy(resolved[0]).has_all_clear and not is_batched(resolved[0]):
                last = max(resolved, key=lambda alert: alert.closed_at or alert.last_at)
                stamp = self._stamp if self._policy(last).is_grouped else last.count
                yield self._notify("resolved", f"{message}-resolved-{stamp}", message, resolved)

    def _notify(
        self, kind: NotificationKind, key: str, thread: str, alerts: Iterable[Alert], **changes: Any
    ) -> Notification:
        alerts = list(alerts)
        new = tuple(alert.count - alert.notified_count for alert in alerts)
        message = {} if thread else {"notification": key}
        updated = tuple(self._replace(alert, notified_count=alert.count, **message, **changes) for alert in alerts)
        return Notification(kind, key, thread, updated, new)

    def _members(self, message: str, *, only_open: bool = False) -> list[Alert]:
        """The alerts of a message, totals first."""
        members = (alert for alert in self.alerts.values() if alert.notification == message)
        return sorted((alert for alert in members if alert.is_open or not only_open), key=_sort_key)


def _sort_key(alert: Alert) -> tuple[Any, ...]:
    return not alert.is_total, alert.opened_at, alert.subject, alert.variant


def is_batched(alert: Alert) -> bool:
    return alert.notification.startswith(_BATCH)
