"""A flood of failures: the first few are notified separately, the others in one message from time to time."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from metrics_platform.alerts.alert import Alert

# At most this many failures an hour are notified separately, and this many of one subject until they are over.
ALONE_AN_HOUR = 5
ALONE_OF_SUBJECT = 2
# A batch is sent when it has been gathered for so long, the next ones after gaps that double.
GATHERED_FOR = datetime.timedelta(minutes=5)
_GAP = datetime.timedelta(hours=1)
_LONGEST_GAP = datetime.timedelta(hours=8)
# So many alerts are remembered at most.
MOST = 200
_PREFIX = "failures-"
_HOUR = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class Sorted:
    """Failures to notify now: those with a message of their own, by id, and those in one message together."""

    alone: frozenset[str] = frozenset()
    batch: tuple[Alert, ...] = ()
    number: int = 0


def is_batched(alert: Alert) -> bool:
    """Whether it was notified together with others."""
    return alert.notification.startswith(_PREFIX)


def batch_key(now: datetime.datetime) -> str:
    """The key of a batch that is sent now."""
    return f"{_PREFIX}{now.astimezone(datetime.UTC):%Y-%m-%dT%H%M%S}"


def sort_failures(now: datetime.datetime, alerts: Sequence[Alert], waiting: Iterable[Alert]) -> Sorted:
    """Sort the `waiting` failures, and those of earlier batches that have failed again; `alerts` are all failures."""
    own = [alert for alert in alerts if alert.notification and not is_batched(alert)]
    free = ALONE_AN_HOUR - sum(now - (alert.notified_at or now) < _HOUR for alert in own)
    of_subject = Counter(alert.subject for alert in own if alert.is_open)
    alone, held = set(), []
    for alert in sorted(waiting, key=lambda alert: (alert.opened_at, alert.id)):
        if free > 0 and of_subject[alert.subject] < ALONE_OF_SUBJECT:
            alone.add(alert.id)
            free -= 1
            of_subject[alert.subject] += 1
        else:
            held.append(alert)
    batched = [alert for alert in alerts if is_batched(alert)]
    again = [a for a in batched if a.is_open and a.count > a.notified_count and not a.inhibited_by]
    recent = [a for a in batched if a.notified_at and now - a.notified_at <= 2 * _LONGEST_GAP]
    number = max((alert.reminders for alert in recent), default=0)
    if not _is_due(now, [*held, *again], recent, number):
        return Sorted(frozenset(alone))
    if len(held) <= ALONE_OF_SUBJECT and not again:  # no flood after all
        return Sorted(frozenset(alone | {alert.id for alert in held}))
    return Sorted(frozenset(alone), (*held, *again), number + 1)


def _is_due(now: datetime.datetime, held: Sequence[Alert], recent: Sequence[Alert], number: int) -> bool:
    if not held:
        return False
    since = min(alert.last_at if alert.notified_at else alert.opened_at for alert in held)
    last = max((alert.notified_at for alert in recent if alert.notified_at), default=None)
    gap = min(_GAP * 2 ** max(0, number - 1), _LONGEST_GAP) if len(held) < MOST // 2 else GATHERED_FOR
    return now - since >= GATHERED_FOR and (last is None or now - last >= gap)
