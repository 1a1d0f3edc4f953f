"""What to send now: one message at a time, the oldest first, and why nothing is sent where nothing is.

A pure function of what is waiting: no clock, no storage, no Dagster. Every decision carries a named reason, which
Dagster's UI shows for each tick of the sensor.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from metrics_platform.notifications.errors import Reason
from metrics_platform.notifications.journal import Failed

# From so many due messages on they become one: a burst of fifty is read by nobody.
BURST = 6
# So many of them fit a message that is still read.
MAX_DIGEST = 40
# Waits after the first, second, … failed try. A channel that is down is tried again soon and then every five minutes;
# what a person has to mend, or Telegram refuses, more seldom.
_WAITS: Mapping[Reason, tuple[int, ...]] = {
    "unreachable": (15, 30, 60, 120, 300),
    "unknown": (15, 30, 60, 120, 300),
    "misconfigured": (60, 300, 900),
    "refused": (60, 300, 900),
}
_WAITS_AFTER_A_CRASH = (15, 60, 300, 900)


@dataclass(frozen=True)
class Waiting:
    """A notification that is not closed."""

    key: str
    asked_at: datetime.datetime
    digestible: bool = True
    begun: bool = False  # some step of it is out: it must be finished as it is
    thread: str | None = None
    parts: tuple[str, ...] = ()  # of a digest: the keys it tells
    tries: int = 0  # runs that have ended without closing it
    last_try_at: datetime.datetime | None = None
    failures: Mapping[str, Failed] = field(default_factory=dict)  # the last one over each channel
    fallback_sent: bool = False


@dataclass(frozen=True)
class Situation:
    """What holds besides the waiting messages."""

    now: datetime.datetime
    sending: bool  # a message is on its way right now
    first_channel: str
    has_fallback: bool
    fallback_after: datetime.timedelta
    max_age: datetime.timedelta
    # When the first channel last took a message: failures before it say nothing about now.
    reached_at: datetime.datetime | None = None


@dataclass(frozen=True)
class Plan:
    """At most one message to send, or a digest to make first; messages to give up; and why."""

    reason: str
    send: str | None = None
    only_fallback: bool = False  # the first channel is known to be down: do not wait for it again
    digest: tuple[str, ...] = ()
    give_up: tuple[str, ...] = ()


def plan(waiting: Sequence[Waiting], situation: Situation) -> Plan:
    """What to do now about what is waiting."""
    too_old = tuple(each.key for each in waiting if situation.now - each.asked_at > situation.max_age)
    if situation.sending:
        return Plan("a message is being sent: one at a time")
    told = {key for each in waiting for key in each.parts}
    left = [each for each in waiting if each.key not in told and each.key not in too_old]
    left.sort(key=lambda each: (each.asked_at, each.key))
    if not left:
        return Plan("too old: given up" if too_old else "nothing is waiting", give_up=too_old)
    down_until = _down_until(left, situation)
    due = [each for each in left if _due(each, left, down_until, situation)]
    if not due:
        at = min(_next_try(each, situation) for each in left)
        what = f"{situation.first_channel} cannot be reached" if down_until else "tried in vain"
        return Plan(f"{what}: {len(left)} waiting, next try at {at:%H:%M:%S} UTC", give_up=too_old)
    fresh = [each for each in due if each.digestible and not each.begun and not each.parts]
    if len(fresh) >= BURST and not down_until:
        keys = tuple(each.key for each in fresh[:MAX_DIGEST])
        return Plan(f"a burst: {len(keys)} messages become one", digest=keys, give_up=too_old)
    known_down = down_until is not None and down_until > situation.now
    reason = f"{situation.first_channel} cannot be reached: the fallback gets it" if known_down else "due"
    return Plan(reason, send=due[0].key, only_fallback=known_down, give_up=too_old)


def digest_key(keys: Sequence[str]) -> str:
    """The key of the digest of `keys`: the same for the same ones."""
    return "digest-" + hashlib.sha256("\n".join(keys).encode()).hexdigest()[:12]


def _due(each: Waiting, left: Sequence[Waiting], down_until: datetime.datetime | None, situation: Situation) -> bool:
    if _next_try(each, situation) > situation.now:
        return False
    if down_until and down_until > situation.now and not _falls_back(each, situation):
        return False
    opening = next((other for other in left if other.key == each.thread), None)
    # An all-clear does not overtake its alert, unless that one has to wait for a person.
    return opening is None or any(error.reason in ("misconfigured", "refused") for error in opening.failures.values())


def _falls_back(each: Waiting, situation: Situation) -> bool:
    """Whether the fallback channel has to get the message now, though the first is down."""
    overdue = situation.now - each.asked_at >= situation.fallback_after
    return situation.has_fallback and overdue and not each.fallback_sent


def _next_try(each: Waiting, situation: Situation) -> datetime.datetime:
    """When the message may be tried (again)."""
    if each.last_try_at is None or each.tries == 0:
        return each.asked_at
    failed = each.failures.get(situation.first_channel) or next(iter(each.failures.values()), None)
    if failed and failed.reason in ("unreachable", "unknown") and _reached_since(each, situation):
        return each.asked_at
    waits = _WAITS[failed.reason] if failed else _WAITS_AFTER_A_CRASH
    seconds: float = waits[min(each.tries, len(waits)) - 1]
    if failed and failed.retry_after:
        seconds = max(seconds, failed.retry_after)
    due = each.last_try_at + datetime.timedelta(seconds=seconds)
    if _falls_back(each, situation):  # … for the fallback, a wait of Telegram's does not count
        due = min(due, each.last_try_at + datetime.timedelta(seconds=_WAITS["unreachable"][0]))
    return due


def _reached_since(each: Waiting, situation: Situation) -> bool:
    """Whether the first channel has taken another message since this one was tried."""
    return bool(situation.reached_at and each.last_try_at and situation.reached_at > each.last_try_at)


def _down_until(left: Sequence[Waiting], situation: Situation) -> datetime.datetime | None:
    """Until when the first channel is left alone, because somebody's last try found it down.

    One message at a time finds out whether it is back; the others wait with it.
    """
    tried = [
        each
        for each in left
        if (failed := each.failures.get(situation.first_channel))
        and failed.reason == "unreachable"
        and each.tries
        and not _reached_since(each, situation)
    ]
    if not tried:
        return None
    last = max(tried, key=lambda each: each.last_try_at or each.asked_at)
    return _next_try(replace(last, fallback_sent=True), situation)  # the first channel's own wait
