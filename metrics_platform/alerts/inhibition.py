"""Which alerts are not notified because another one says it, by the table of rules."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable

from metrics_platform.alerts.alert import Alert, Condition
from metrics_platform.alerts.policies import INHIBITIONS, Inhibition


class Inhibitors:
    """The alerts that inhibit others, by rule and by the labels that must be equal."""

    def __init__(self, alerts: Iterable[Alert], now: datetime.datetime) -> None:
        self._now = now
        self._found: list[tuple[Inhibition, dict[tuple[str, ...], list[Alert]]]] = [
            (rule, defaultdict(list)) for rule in INHIBITIONS
        ]
        for alert in alerts:
            labels = alert.labels
            for rule, sources in self._found:
                states = {"open", "resolved", "expired"} if rule.after_expiry else {"open", "resolved"}
                if alert.state in states and rule.source.items() <= labels.items():
                    sources[tuple(labels[name] for name in rule.equal)].append(alert)

    def inhibiting(self, alert: Alert, condition: Condition | None) -> str:
        """What is notified instead of an alert, whose `condition` fires now; empty: nothing."""
        labels = alert.labels
        for rule, sources in self._found:
            if not rule.target.items() <= labels.items():
                continue
            for source in sources.get(tuple(labels[name] for name in rule.equal), ()):
                may_inhibit = rule.itself if source.id == alert.id else not _was_first(alert, source)
                if may_inhibit and self._holds(rule, source, condition):
                    return rule.called.format(id=source.id, name=source.subject.name)
        return ""

    def _holds(self, rule: Inhibition, source: Alert, condition: Condition | None) -> bool:
        if rule.to_nothing and not (condition and condition.is_empty):
            return False
        if rule.up_to is not None and condition and not _is_up_to(rule.up_to, source, condition.change):
            return False
        if rule.seen_through and condition and source.opened_at > condition.at:
            return False
        if source.is_open:
            return rule.while_open
        ended = max(source.closed_at or source.last_at, source.last_at)
        since = (condition.since or condition.at) if condition else self._now
        return (rule.seen_through and since < ended) or (bool(rule.after) and self._now <= ended + rule.after)


def _is_up_to(times: float, source: Alert, change: float | None) -> bool:
    known = source.quiet_up_to if source.is_answered else source.worst_change
    return change is not None and abs(change) <= times * abs(known or 0.0)


def _was_first(alert: Alert, source: Alert) -> bool:
    """Whether an alert was notified before what would inhibit it: then its message goes on."""
    if alert.notified_at is None or source.is_accepted:
        return False
    return source.notified_at is None or alert.notified_at <= source.notified_at
