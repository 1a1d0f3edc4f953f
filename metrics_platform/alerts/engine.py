"""The state machine: alerts before a step and its conditions in, alerts after it and notifications to enqueue out.

Pure: no clock and no storage, so that every rule can be tried in a table. Steps come in their order. Of a flood of
failures the first few are notified separately, the others in one message from time to time.
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
_NEEDED_AFTER_RETURN, _MOST_NEEDED = 4, 96
# If less than a tenth is left, it is an outage and never a new level.
_OUTAGE = -0.9
# An accepted level that fires again within this time of the last time is the same level.
_ACCEPTED_FOR = 7 * _DAY
_MOST_REMINDERS = 100
# At most this many failures an hour are notified separately, and this many of one subject until they are over.
_ALONE_AN_HOUR = 5
_ALONE_OF_SUBJECT = 2
# A batch is sent when it has been gathered for this long, the next ones after gaps that double.
_GATHERED_FOR = datetime.timedelta(minutes=5)
_HOUR = datetime.timedelta(hours=1)
_LONGEST_GAP = 8 * _HOUR
# At most this many alerts about the platform are kept.
MOST = 200
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
    found = tuple(update.notifications()) if notifies else ()
    return Step(tuple(update.changed()), found)


class _Update:
    """The alerts, by id, while a step's conditions are applied; then what is notified, which it marks in them."""

    def __init__(self, now: datetime.datetime, alerts: Iterable[Alert], policies: Policies) -> None:
        self.alerts = {alert.id: alert for alert in alerts}
        # The condition of each alert that fires now; those that did not fire before.
        self._firing: dict[str, Condition] = {}
        self._started: set[str] = set()
        self._changed: set[str] = set()  # messages that look different now
        self._now, self._stamp = now, now.strftime(SLOT_KEY_FORMAT)
        self._policies = policies
        self._before = dict(self.alerts)
        self._evaluated: set[str] = set()
        self._ids: dict[Subject, dict[str, str]] = defaultdict(dict)
        for alert in sorted(self.alerts.values(), key=lambda alert: alert.opened_at):
            self._ids[alert.subject][alert.variant] = alert.id

    def take(self, condition: Condition) -> None:
        known = {variant: self.alerts[name] for variant, name in self._ids[condition.subject].items()}
        if condition.status == "firing":
            self._fire(condition, known.get(condition.variant))
            for variant, alert in known.items():
                ended_by = self._policy(alert).ended_by
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
            lasts = self._policy(alert).expires_after
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
            past = self._policy(alert).is_event and alert.id not in self._firing
            if alert.is_open and not (past and alert.inhibited_by not in {"", MUTED}):
                found = inhibitors.inhibiting(alert, self._firing.get(alert.id))
                self._put(alert, inhibited_by=found or (MUTED if is_muted(alert) else ""))

    def changed(self) -> list[Alert]:
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
        self._firing[known.id] = condition
        self._evaluated.add(known.id)
        if before is None or not before.is_open or before.normal_streak:
            self._started.add(known.id)

    def _is_same(self, known: Alert, condition: Condition) -> bool:
        """Whether a condition belongs to an alert that there is or was."""
        if known.state in {"pending", "open"}:
            return True
        if known.state == "expired" or known.closed_at is None:
            return False
        if known.is_accepted:
            worse = abs(condition.change or 0.0) > SAME_LEVEL * abs(known.worst_change or 0.0)
            return not worse and condition.at - known.last_at <= _ACCEPTED_FOR
        policy = self._policy(known)
        has_lasted = known.closed_at - known.opened_at >= policy.remind_after
        return condition.at - known.closed_at <= (_DAY if has_lasted else policy.reopens_within)

    def _opened(self, condition: Condition) -> Alert:
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
        return self._put(
            alert, normal_needed=policy.normal_after, state="open" if policy.fires_after == 1 else "pending"
        )

    def _fired(self, known: Alert, condition: Condition) -> Alert:
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
            fires_after = self._policy(alert).fires_after
            return self._put(alert, state="open") if alert.count >= fires_after else alert
        if known.state == "resolved":
            needed = min(max(_NEEDED_AFTER_RETURN, 2 * known.normal_needed), _MOST_NEEDED)
            alert = self._put(alert, state="open", closed_at=None, normal_needed=needed, change="reopened")
        else:
            alert = self._put(alert, change="worsened" if alert.severity != known.severity else "continues")
        return self._accepted(alert)

    def _accepted(self, alert: Alert) -> Alert:
        """With a level that has lasted, and does not become worse, taken as the new normal."""
        lasts = self._policy(alert).accepts_after
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

    def _policy(self, alert: Alert) -> Policy:
        return policy_of(alert, self._policies)

    def _put(self, alert: Alert, **changes: Any) -> Alert:
        made = replace(alert, **changes)
        self.alerts[made.id] = made
        return made

    # --- what is notified --------------------------------------------------------------------------------------------

    def notifications(self) -> list[Notification]:
        """The notifications, in the order in which they are to be sent."""
        returns = list(self._returns())
        openings = list(self._openings())
        worsenings = list(self._worsenings())
        updates = [
            self._notify("updated", f"{message}-{self._stamp}", message, self._members(message, only_open=True))
            for message in sorted(self._changed - {opening.key for opening in openings})
        ]
        return [*openings, *updates, *worsenings, *returns, *self._reminders(), *self._all_clears()]

    def _openings(self) -> Iterator[Notification]:
        grouped: list[Alert] = []
        batched: list[Alert] = []
        alone: list[Alert] = []
        for alert in sorted(filter(self._waits, self.alerts.values()), key=_order):
            policy = self._policy(alert)
            (grouped if policy.is_grouped else batched if policy.is_batched else alone).append(alert)
        yield from self._open_group(grouped)
        separate, batch, number = self._sort_failures(batched)
        for alert in [*alone, *separate]:
            yield self._notify("opened", alert.key, "", [alert], notified_at=self._now)
        if batch:
            key = f"{_BATCH}{self._now.astimezone(datetime.UTC):%Y-%m-%dT%H%M%S}"
            yield self._notify("batch", key, "", batch, notified_at=self._now, reminders=number)

    def _sort_failures(self, waiting: Iterable[Alert]) -> tuple[list[Alert], list[Alert], int]:
        """The failures to notify alone, those to notify together, and which batch in a row this is.

        They are the `waiting` ones, and those of earlier batches that failed again.
        """
        failures = [alert for alert in self.alerts.values() if self._policy(alert).is_batched]
        own = [alert for alert in failures if alert.notification and not is_batched(alert)]
        free = _ALONE_AN_HOUR - sum(self._now - (alert.notified_at or self._now) < _HOUR for alert in own)
        of_subject = Counter(alert.subject for alert in own if alert.is_open)
        alone: list[Alert] = []
        held: list[Alert] = []
        for alert in sorted(waiting, key=lambda alert: (alert.opened_at, alert.id)):
            is_alone = len(alone) < free and of_subject[alert.subject] < _ALONE_OF_SUBJECT
            (alone if is_alone else held).append(alert)
            of_subject[alert.subject] += is_alone
        again = [
            alert
            for alert in failures
            if is_batched(alert) and alert.is_open and alert.count > alert.notified_count and not alert.inhibited_by
        ]
        together = [*held, *again]
        since = min((alert.last_at if alert.notified_at else alert.opened_at for alert in together), default=self._now)
        batches = [
            (alert.notified_at, alert.reminders) for alert in failures if is_batched(alert) and alert.notified_at
        ]
        gaps = [self._now - at for at, _ in batches]
        recent = max((number for at, number in batches if self._now - at <= 2 * _LONGEST_GAP), default=0)
        gap = min(_HOUR * 2 ** max(0, recent - 1), _LONGEST_GAP) if len(together) < MOST // 2 else _GATHERED_FOR
        if self._now - since < _GATHERED_FOR or min(gaps, default=gap) < gap:
            return alone, [], recent
        if len(held) <= _ALONE_OF_SUBJECT and not again:  # no flood after all
            return [*alone, *held], [], recent
        return alone, together, recent + 1

    def _waits(self, alert: Alert) -> bool:
        """Whether an alert has not been notified, and nothing speaks against it."""
        fires = self._policy(alert).is_event or alert.id in self._firing
        return alert.is_open and fires and not alert.notification and not alert.inhibited_by

    def _open_group(self, waiting: Iterable[Alert]) -> Iterator[Notification]:
        """One message for all that is new, except for what joins a message that was sent a short time ago."""
        new = []
        for alert in waiting:
            if other := self._message_to_join(alert):
                self._put(alert, notification=other.notification, notified_at=other.notified_at)
                self._changed.add(other.notification)
            else:
                new.append(alert)
        if new:
            yield self._notify("opened", f"anomaly-{self._stamp}", "", new, notified_at=self._now)

    def _message_to_join(self, alert: Alert) -> Alert | None:
        """An alert whose message another one may join: open, of the same direction, and not less severe."""
        found = [
            other
            for other in self.alerts.values()
            if other.is_open
            and other.notification
            and other.variant == alert.variant
            and self._policy(other).is_grouped
            and (other.severity == "critical" or alert.severity != "critical")
            and self._is_related(alert, other)
        ]
        return max(found, key=lambda other: other.notification, default=None)

    def _is_related(self, alert: Alert, other: Alert) -> bool:
        """Whether two alerts may have one cause: of one source, or both began at once.

        That another source fails, too, is news that makes a sound. A smaller metric shows a partial failure later; that
        all is gone shows at once.
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

    def _returns(self) -> Iterator[Notification]:
        """A reminder of what has come back after its all-clear: people believe that it is over."""
        back: dict[str, list[Alert]] = defaultdict(list)
        for alert in sorted(self.alerts.values(), key=_order):
            if alert.is_open and alert.cleared and alert.id in self._firing and not alert.inhibited_by:
                back[alert.notification].append(alert)
        for message, members in sorted(back.items()):
            policy = self._policy(members[0])
            is_over = all(alert.cleared for alert in self._members(message))
            number = max(max(alert.reminders for alert in members) + 1, self._reminders_due(members))
            returned = [self._put(alert, cleared=False, reminders=number) for alert in members]
            if policy.is_grouped:
                self._changed.add(message)
            if is_over and policy.announces_return and self._is_reminded(returned[0]):
                # The slot, or how often it has fired: no two notifications of a message have the same key.
                stamp = self._stamp if policy.is_grouped else returned[0].count
                yield self._notify("reminder", f"{message}-again-{stamp}", message, returned)

    def _worsenings(self) -> Iterator[Notification]:
        """What has become critical changes its message; where a message has one alert, it is a new one."""
        for alert in sorted(self.alerts.values(), key=_order):
            if alert.change != "worsened" or not alert.notification or alert.id not in self._firing:
                continue
            if self._policy(alert).is_grouped:
                self._changed.add(alert.notification)
            elif self._is_reminded(alert) and not alert.inhibited_by:
                yield self._notify("worsened", f"{alert.notification}-critical", alert.notification, [alert])

    def _reminders(self) -> Iterator[Notification]:
        """Remind of what lasts, or has happened again, after some hours and then at doubled gaps."""
        for message in sorted({alert.notification for alert in self.alerts.values() if self._is_reminded(alert)}):
            members = self._members(message, only_open=True)
            due = [alert for alert in members if self._is_due(alert)]
            number = self._reminders_due(members)
            if not due or number <= max(alert.reminders for alert in members):
                continue
            # Those that were missed are not made up for.
            for alert in members:
                self._put(alert, reminders=number)
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
        for number in range(_MOST_REMINDERS):
            at += min(gap * 2**number, policy.longest_gap)
            if at > self._now:
                return number
        return _MOST_REMINDERS

    def _all_clears(self) -> Iterator[Notification]:
        waiting = [alert for alert in self.alerts.values() if alert.notification and not alert.cleared]
        for message in sorted({alert.notification for alert in waiting if alert.state in {"resolved", "expired"}}):
            members = self._members(message)
            if any(alert.is_open for alert in members):
                continue
            over = [self._put(alert, cleared=True) for alert in members if not alert.cleared]
            if self._policy(over[0]).has_all_clear and not is_batched(over[0]):
                last = max(over, key=lambda alert: alert.closed_at or alert.last_at)
                stamp = self._stamp if self._policy(last).is_grouped else last.count
                yield self._notify("resolved", f"{message}-resolved-{stamp}", message, over)

    def _notify(
        self, kind: NotificationKind, key: str, thread: str, alerts: Iterable[Alert], **changes: Any
    ) -> Notification:
        alerts = list(alerts)
        new = tuple(alert.count - alert.notified_count for alert in alerts)
        message = {} if thread else {"notification": key}
        marked = tuple(self._put(alert, notified_count=alert.count, **message, **changes) for alert in alerts)
        return Notification(kind, key, thread, marked, new)

    def _members(self, message: str, *, only_open: bool = False) -> list[Alert]:
        """The alerts of a message, the whole product's first."""
        found = (alert for alert in self.alerts.values() if alert.notification == message)
        return sorted((alert for alert in found if alert.is_open or not only_open), key=_order)


def _order(alert: Alert) -> tuple[Any, ...]:
    return not alert.is_total, alert.opened_at, alert.subject, alert.variant


def is_batched(alert: Alert) -> bool:
    return alert.notification.startswith(_BATCH)
