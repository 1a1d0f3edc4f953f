"""What to send now: one message at a time, and why nothing is sent where nothing is.

A pure function of what is waiting: no clock, no storage, no Dagster. Every decision carries a named reason, which
Dagster's UI shows for each tick of the sensor. Who goes first: what makes a sound (`urgent`) before what does not, for
a message takes some ten seconds, and an alert must not stand behind ten reports; then the oldest; what waits for a
person's hand comes last. Messages of one thread keep their order.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from metrics_platform.notifications.errors import Reason
from metrics_platform.notifications.journal import Failed

# From so many due messages on they become one: a burst of fifty is read by nobody.
BURST = 6
# So many of them fit a message that is still read.
MAX_DIGEST = 40
# A channel that is down is tried again soon and then every five minutes; by the number of messages that found it down.
_DOWN_WAITS = (15, 30, 60, 120, 300)
# A message's own waits after its first, second, … failed try over a channel. What a person has to mend, or Telegram
# refuses, is tried more seldom; and each try whose answer is lost may be one more copy of an alert in the chat.
_WAITS: Mapping[Reason, tuple[int, ...]] = {
    "unreachable": _DOWN_WAITS,
    "unknown": (30, 120, 300, 900, 1800),
    "misconfigured": (60, 300, 900, 3600),
    "refused": (60, 300, 900, 3600),
}
_WAITS_AFTER_A_CRASH = (15, 60, 300, 900)
# Where the channel has taken another message since, what it could not take is tried again after so long at most.
_WAITS_WHEN_BACK: Mapping[Reason, int] = {"unreachable": 60, "misconfigured": 900}
# Between tries over another channel than the first, whatever became of them.
_WAIT_ELSEWHERE = 60
# So many runs that ended without a word are the message's own fault: it holds up nobody.
_CRASHES = 3
# Nothing is given up unless it was tried, or the channel was found down, within so long: the platform was off, perhaps.
_LAST_CHANCE = datetime.timedelta(hours=1)
_HOPELESS = ("misconfigured", "refused")
_DOWN = ("unreachable", "unknown")


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
    # The channel that is its fallback, None where it has none; the name matters only for what failed over it.
    fallback: str | None = "fallback"
    copies_left: tuple[str, ...] = ()  # other channels than the first that get it anyway, and have not got it yet
    urgent: bool = False  # it makes a sound
    first_sent: bool = False  # it is out over the first channel; only a copy or an edit is missing
    group: str = ""  # only messages of one group are told together: those that go the same ways


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
    only_fallback: bool = False  # the first channel is not tried now: only the fallback and copies
    digest: tuple[str, ...] = ()
    give_up: tuple[str, ...] = ()


def plan(waiting: Sequence[Waiting], situation: Situation) -> Plan:
    """What to do now about what is waiting."""
    if situation.sending:
        return Plan("a message is being sent: one at a time")
    view = _View.of(waiting, situation)
    return replace(_choice(view), give_up=view.given_up)


def _choice(view: _View) -> Plan:
    """What to send, or to make a digest of."""
    left = sorted((each for each in view.left if each.key not in view.given_up), key=view.rank)
    if not left:
        return Plan("too old: given up" if view.given_up else "nothing is waiting")
    due = [each for each in left if view.is_due(each)]
    # One message at a time finds out whether a channel is back; a digest of all would only fail as a whole.
    if view.down_until is None and (digest := _burst(due, view)):
        return Plan(f"a burst: {len(digest)} messages become one", digest=digest)
    if due:
        return Plan("due", send=due[0].key)
    elsewhere = [each for each in left if view.is_due_elsewhere(each)]
    # What is in a digest comes over the first channel with it: nothing that has to wait for another message there.
    if digest := _burst([each for each in elsewhere if not each.copies_left and not view.is_behind(each)], view):
        return Plan(f"a burst: {len(digest)} messages become one for the fallback", digest=digest)
    channel = view.situation.first_channel
    what = f"{channel} cannot be reached" if view.is_down else "tried in vain"
    if elsewhere:
        return Plan(f"{what}: the other channels get it", send=elsewhere[0].key, only_fallback=True)
    at = min(view.next_try(each) for each in left)
    return Plan(f"{what}: {len(left)} waiting, next try at {at:%H:%M:%S} UTC")


def digest_key(keys: Sequence[str]) -> str:
    """The key of the digest of `keys`: the same for the same ones."""
    return "digest-" + hashlib.sha256("\n".join(keys).encode()).hexdigest()[:12]


def _burst(due: Sequence[Waiting], view: _View) -> tuple[str, ...]:
    """The messages of the first group that is large enough to become one."""
    groups: dict[tuple[str, bool], list[str]] = {}
    for each in due:
        if each.digestible and not each.begun and not each.parts and each.key not in view.undone:
            groups.setdefault((each.group, each.fallback_sent), []).append(each.key)
    return next((tuple(keys[:MAX_DIGEST]) for keys in groups.values() if len(keys) >= BURST), ())


@dataclass(frozen=True)
class _View:
    """The waiting messages as the plan sees them."""

    situation: Situation
    # Without those that a digest tells.
    left: tuple[Waiting, ...]
    told_in: Mapping[str, tuple[Waiting, ...]]  # digest → its parts
    undone: frozenset[str]  # parts of digests that are of no use: told one by one
    given_up: tuple[str, ...]
    # By channel; in the past: it was found down, and is to be tried again.
    down: Mapping[str, datetime.datetime]

    @classmethod
    def of(cls, waiting: Sequence[Waiting], situation: Situation) -> _View:
        """A digest is as old as its oldest part. One that is refused, or kills its runs, is told one by one instead;
        it stays until its parts are gone, lest they become the same digest again."""
        known = {each.key: each for each in waiting}
        parts = {each.key: tuple(known[key] for key in each.parts if key in known) for each in waiting if each.parts}
        useless = {each.key for each in waiting if each.parts and _is_refused(each, situation)}
        told_in = {key: told for key, told in parts.items() if key not in useless}
        told = {part.key for each in told_in.values() for part in each}
        undone = frozenset(part.key for key in useless for part in parts[key])
        left = tuple(
            replace(each, asked_at=min([each.asked_at, *(part.asked_at for part in told_in.get(each.key, ()))]))
            for each in waiting
            if each.key not in told and each.key not in useless
        )
        failed = {
            channel: list(_failures_over(channel, left, situation))
            for channel in dict.fromkeys(channel for each in left for channel in each.failures)
        }
        down = {channel: _down_until(found) for channel, found in failed.items() if found}
        last = max((at for at, _ in failed.get(situation.first_channel, ())), default=None)
        over = {each.key for each in left if _is_over(each, last, situation)}
        over |= {part.key for key in over for part in told_in.get(key, ()) if _is_too_old(part, situation)}
        over |= {key for key in useless if not parts[key]}
        given_up = tuple(each.key for each in waiting if each.key in over)
        return cls(situation, left, told_in, undone, given_up, down)

    @property
    def down_until(self) -> datetime.datetime | None:
        """The first channel's."""
        return self.down.get(self.situation.first_channel)

    @property
    def is_down(self) -> bool:
        """Whether the first channel is known to be down, and is not to be tried again yet."""
        return self.down_until is not None and self.down_until > self.situation.now

    def rank(self, each: Waiting) -> tuple[bool, bool, datetime.datetime, str]:
        """Who goes first."""
        return (_is_hopeless(each, self.situation), not each.urgent, each.asked_at, each.key)

    def is_due(self, each: Waiting) -> bool:
        """Whether it may be tried over all its channels now."""
        if _next_try(each, self.situation) > self.situation.now or self.is_down:
            return False
        if each.first_sent and each.copies_left and self.situation.first_channel not in each.failures:
            return False  # only a copy is missing: see `is_due_elsewhere`
        return not self.is_behind(each)

    def is_behind(self, each: Waiting) -> bool:
        """Whether another message of its thread has to be out first."""
        return each.thread is not None and any(self._waits_for(each, other) for other in self.left)

    def is_due_elsewhere(self, each: Waiting) -> bool:
        """Whether it may be tried now over the fallback and for copies alone, while the first channel has to wait."""
        at = self._next_try_elsewhere(each)
        return at is not None and at <= self.situation.now

    def next_try(self, each: Waiting) -> datetime.datetime:
        """When it may be tried next, as far as that can be told now."""
        first = max(_next_try(each, self.situation), self.down_until or each.asked_at)
        elsewhere = self._next_try_elsewhere(each)
        return max(self.situation.now, first if elsewhere is None else min(first, elsewhere))

    def _waits_for(self, each: Waiting, other: Waiting) -> bool:
        """Whether `other` has to be out first: the opening, or an earlier answer to it, unless it is stuck itself."""
        if other.key == each.key or other.first_sent or _is_hopeless(other, self.situation):
            return False
        return any(
            one.key == each.thread
            or (one.thread == each.thread and (one.asked_at, one.key) < (each.asked_at, each.key))
            for one in (other, *self.told_in.get(other.key, ()))
        )

    def _is_opening(self, other: Waiting, each: Waiting) -> bool:
        """Whether `other` tells what `each` answers, and is not stuck."""
        told = (other, *self.told_in.get(other.key, ()))
        return any(one.key == each.thread for one in told) and not _is_hopeless(other, self.situation)

    def _next_try_elsewhere(self, each: Waiting) -> datetime.datetime | None:
        """When its copies, or the fallback, may be tried; None where nothing is to be tried there."""
        times = [self._next_try_over(each, channel) for channel in each.copies_left]
        if self._wants_fallback(each):
            # Where only a person can mend the first channel, there is nothing to wait for.
            wait = datetime.timedelta(0) if _is_hopeless(each, self.situation) else self.situation.fallback_after
            times.append(max(each.asked_at + wait, self._next_try_over(each, str(each.fallback))))
        if not times:
            return None
        pause = each.last_try_at + datetime.timedelta(seconds=_WAIT_ELSEWHERE) if each.last_try_at else each.asked_at
        return max(pause, min(times))

    def _wants_fallback(self, each: Waiting) -> bool:
        if each.fallback is None or not self.situation.has_fallback or each.fallback_sent or each.first_sent:
            return False
        if each.thread is None:
            return True
        # There, too, an all-clear does not overtake its alert.
        return not any(self._is_opening(other, each) and not other.fallback_sent for other in self.left)

    def _next_try_over(self, each: Waiting, channel: str) -> datetime.datetime:
        failed = each.failures.get(channel)
        own = _failed_at(each, failed) + _wait(each, failed) if failed else each.asked_at
        return max(own, self.down.get(channel, own))


def _next_try(each: Waiting, situation: Situation) -> datetime.datetime:
    """When the message itself may be tried (again) over the first channel, as if that was up."""
    if each.last_try_at is None or each.tries == 0:
        return each.asked_at
    if not each.failures:
        # Where the fallback has it, these runs were for that.
        waits = _DOWN_WAITS if each.fallback_sent else _WAITS_AFTER_A_CRASH
        return each.last_try_at + datetime.timedelta(seconds=waits[min(each.tries, len(waits)) - 1])
    failed = each.failures.get(situation.first_channel) or next(iter(each.failures.values()))
    wait = _wait(each, failed)
    if failed.reason in _WAITS_WHEN_BACK and not failed.retry_after and _reached_since(each, failed, situation):
        wait = min(wait, datetime.timedelta(seconds=_WAITS_WHEN_BACK[failed.reason]))
    # Runs that ended without a word count, too; one of them may have been for the fallback.
    wordless = max(0, each.tries - sum(known.number or each.tries for known in each.failures.values()))
    pause = _WAITS_AFTER_A_CRASH[min(wordless, len(_WAITS_AFTER_A_CRASH) - 1)]
    return max(_failed_at(each, failed) + wait, each.last_try_at + datetime.timedelta(seconds=pause))


def _wait(each: Waiting, failed: Failed) -> datetime.timedelta:
    waits = _WAITS[failed.reason]
    seconds: float = waits[min(failed.number or each.tries or 1, len(waits)) - 1]
    return datetime.timedelta(seconds=max(seconds, failed.retry_after or 0))


def _failed_at(each: Waiting, failed: Failed) -> datetime.datetime:
    return failed.at or each.last_try_at or each.asked_at


def _reached_since(each: Waiting, failed: Failed, situation: Situation) -> bool:
    """Whether the first channel has taken another message since this one failed."""
    return situation.reached_at is not None and situation.reached_at > _failed_at(each, failed)


def _down_until(found: Sequence[tuple[datetime.datetime, Failed]]) -> datetime.datetime:
    """Until when a channel is left alone, because tries found it down.

    One message at a time finds out whether it is back; the others wait with it. A single message that fails may be at
    fault itself: another one is tried soon. The more of them fail, the surer it is, and the longer are the waits.
    """
    wait = datetime.timedelta(seconds=_DOWN_WAITS[min(len(found), len(_DOWN_WAITS)) - 1])
    asked_for = [at + datetime.timedelta(seconds=failed.retry_after or 0) for at, failed in found]
    return max([max(at for at, _ in found) + wait, *asked_for])


def _failures_over(
    channel: str, left: Sequence[Waiting], situation: Situation
) -> Iterator[tuple[datetime.datetime, Failed]]:
    """What says that a channel is down: when, and how."""
    for each in left:
        failed = each.failures.get(channel)
        if failed is None or failed.reason not in _DOWN or (channel == each.fallback and each.fallback_sent):
            continue
        if channel == situation.first_channel and _reached_since(each, failed, situation):
            continue
        yield _failed_at(each, failed), failed


def _is_hopeless(each: Waiting, situation: Situation) -> bool:
    """Whether waiting does not mend it: a person has to, or its runs end without a word."""
    failed = each.failures.get(situation.first_channel)
    return failed.reason in _HOPELESS if failed else _is_crashing(each)


def _is_refused(digest: Waiting, situation: Situation) -> bool:
    failed = digest.failures.get(situation.first_channel)
    return failed.reason == "refused" if failed else _is_crashing(digest)


def _is_crashing(each: Waiting) -> bool:
    return each.tries >= _CRASHES and not each.failures and not each.fallback_sent


def _is_too_old(each: Waiting, situation: Situation) -> bool:
    return situation.now - each.asked_at > situation.max_age


def _is_over(each: Waiting, last: datetime.datetime | None, situation: Situation) -> bool:
    """Whether it is too old, and had its chance: after a weekend without power everything is tried once more.

    `last` is when the first channel was found down last.
    """
    since = situation.now - _LAST_CHANCE
    return _is_too_old(each, situation) and any(at and at >= since for at in (each.last_try_at, last))
