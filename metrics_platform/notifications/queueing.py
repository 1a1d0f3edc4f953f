"""Decide what is sent next, over which channel, and why nothing is sent if nothing is.

A pure function of the waiting messages. A delivery is one message over one channel: the first channel, a copy, or the
fallback. Messages with sound precede silent ones, then the oldest goes first. Messages that only a person can help
come last, and messages of one thread keep their order on each channel.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from metrics_platform.channel_settings import SEVERITIES, ChannelSettings
from metrics_platform.notifications.history import Failure, History, Reason, Sent
from metrics_platform.notifications.kinds import Digest, Event

# This many due messages become one: no one reads a burst of fifty.
BURST = 6
# A digest of more than this is not read either.
MAX_DIGEST = 40
# A channel that is down is tried again soon, then every five minutes.
_DOWN_WAITS = (15, 30, 60, 120, 300)
# A message's own waits after its first, second, … failure over a channel. Each lost answer may be one more copy of an
# alert in the chat, so those are repeated less often.
_WAITS: Mapping[Reason, tuple[int, ...]] = {
    "unreachable": (15, 30, 60),  # the channel's wait is longer, until it has taken another message
    "unknown": (30, 120, 300, 900, 1800),
    "misconfigured": (60, 300, 900),
    "refused": (60, 300, 900, 3600),
}
_WAITS_AFTER_A_CRASH = (15, 60, 300, 900)
# A message whose attempts crash this often is the cause itself: it must not hold up others.
_CRASHES = 3
# A message is given up only if it, or its channel, was tried this recently: the platform may have been off.
_LAST_CHANCE = datetime.timedelta(hours=1)
_HOPELESS = ("misconfigured", "refused")
_DOWN = ("unreachable", "unknown")


@dataclass(frozen=True)
class Step:
    """What to do next, and why: send a message over a channel, or combine messages first, or wait."""

    reason: str
    send: tuple[str, str] | None = None  # key and channel
    digest: tuple[str, ...] = ()
    give_up: Mapping[str, str] = field(default_factory=dict)  # key → why
    at: datetime.datetime | None = None  # when something is due next, if nothing is now

    @property
    def is_due(self) -> bool:
        """Whether there is something to do now."""
        return bool(self.send or self.digest or self.give_up)


def next_step(
    waiting: Sequence[History],
    settings: ChannelSettings,
    now: datetime.datetime,
    reached: Mapping[str, datetime.datetime] | None = None,
) -> Step:
    """The next step for the `waiting` messages; `reached`: when each channel last took a message."""
    return _Queue(waiting, settings, now, reached or {}).next_step()


def unresolved(history: History, settings: ChannelSettings) -> list[str]:
    """The channels from the start over which a message is still to be delivered.

    A report with an unknown outcome is not sent again. A failure after the last step is one of an edit.
    """
    event = history.event
    assert event is not None
    return [
        name
        for name in settings.recipients(event.kind, event.severity)
        if (not history.is_sent(name) or name in history.failures)
        and not (event.at_most_once and history.outcome_unknown(name))
    ]


def fallback_of(history: History, settings: ChannelSettings) -> str | None:
    """The fallback that a message was sent over, or the one to try next: if one fails, the next gets it."""
    event = history.event
    assert event is not None

    def rank(name: str) -> tuple[bool, float]:
        failure = history.failures.get(name)
        return not history.is_sent(name), failure.at.timestamp() if failure else 0.0

    return min(settings.fallbacks(event.kind, event.severity), key=rank, default=None)


def wants_fallback(history: History, settings: ChannelSettings) -> bool:
    """Whether a fallback may get a message: no channel has taken it, nor possibly taken a report."""
    event = history.event
    assert event is not None
    other, first = fallback_of(history, settings), settings.first_channel
    if other is None or history.is_sent(first) or history.is_sent(other):
        return False
    names = (first, *settings.fallbacks(event.kind, event.severity))
    return not (event.at_most_once and any(map(history.outcome_unknown, names)))


def is_hopeless(history: History, channel: str) -> bool:
    """Whether waiting does not help: a person has to act, or the message crashes its runs."""
    failure = history.failures.get(channel)
    return failure.entry.reason in _HOPELESS if failure else history.crashes >= _CRASHES


def digest_of(events: Sequence[Event]) -> Digest:
    """One message in place of several: as severe as the worst of them, as late as the earliest.

    The same messages always make the same digest.
    """
    keys = tuple(event.key for event in events)
    severities = {event.severity for event in events}
    return Digest(
        key="digest-" + hashlib.sha256("\n".join(keys).encode()).hexdigest()[:12],
        occurred_at=min(event.occurred_at for event in events),
        severity=next(severity for severity in SEVERITIES if severity in severities),
        notifications=keys,
    )


@dataclass(frozen=True)
class _Delivery:
    """A message over a channel, and from when on."""

    history: History
    channel: str
    at: datetime.datetime


@dataclass(frozen=True)
class _Queue:
    """The waiting messages at one moment."""

    waiting: Sequence[History]
    settings: ChannelSettings
    now: datetime.datetime
    reached: Mapping[str, datetime.datetime]

    @property
    def _first(self) -> str:
        return self.settings.first_channel

    @cached_property
    def _readable(self) -> dict[str, History]:
        return {each.key: each for each in self.waiting if each.event}

    @cached_property
    def _events(self) -> dict[str, Event]:
        return {each.key: each.event for each in self.waiting if each.event}

    def next_step(self) -> Step:
        give_up = {each.key: each.unreadable for each in self.waiting if not each.event} | self._too_old
        left = [each for each in self._left if each.key not in give_up]
        deliveries = sorted((delivery for each in left for delivery in self._deliveries(each)), key=self._rank)
        due = [each for each in deliveries if each.at <= self.now]
        if digest := self._burst(due):
            return Step(f"a burst: {len(digest)} messages become one", digest=digest, give_up=give_up)
        if due:
            return Step("due", send=(due[0].history.key, due[0].channel), give_up=give_up)
        if not left:
            return Step("given up" if give_up else "nothing is waiting", give_up=give_up)
        at = min((each.at for each in deliveries), default=self.now + datetime.timedelta(minutes=1))
        what = f"{self._first} cannot be reached: " if self._down.get(self._first, self.now) > self.now else ""
        return Step(f"{what}{len(left)} waiting, next try at {at:%H:%M:%S} UTC", give_up=give_up, at=at)

    # --- digests -----------------------------------------------------------------------------------------------------

    @cached_property
    def _parts(self) -> dict[str, list[History]]:
        """The waiting messages of each digest."""
        return {
            key: [self._readable[part] for part in event.notifications if part in self._readable]
            for key, event in self._events.items()
            if isinstance(event, Digest)
        }

    @cached_property
    def _useless(self) -> set[str]:
        """Digests that are refused or crash. Their messages are sent individually.

        A useless digest stays until its messages are gone, so that they do not become the same digest again.
        """

        def is_useless(digest: History) -> bool:
            failure = digest.failures.get(self._first)
            return failure.entry.reason == "refused" if failure else digest.crashes >= _CRASHES

        return {key for key in self._parts if is_useless(self._readable[key])}

    @cached_property
    def _left(self) -> list[History]:
        """The messages that are sent themselves: not part of a digest, and no useless digest."""
        in_digests = {part.key for key, parts in self._parts.items() if key not in self._useless for part in parts}
        return [each for key, each in self._readable.items() if key not in in_digests | self._useless]

    def _queued_at(self, history: History) -> datetime.datetime:
        """A digest is as old as its oldest message."""
        return min([history.queued_at, *(part.queued_at for part in self._parts.get(history.key, ()))])

    def _burst(self, due: Sequence[_Delivery]) -> tuple[str, ...]:
        """The messages of the first group that is large enough to become one.

        A channel that was down gets one message first: a digest of everything would only fail as a whole.
        """
        sent_alone = {part.key for key in self._useless for part in self._parts[key]}
        groups: dict[tuple[str, str, bool], list[str]] = {}
        for each in due:
            history, event = each.history, self._events[each.history.key]
            other = fallback_of(history, self.settings)
            group = self.settings.digest_group(event.kind, event.severity)
            allowed = event.digestible and group is not None and history.key not in sent_alone
            if allowed and each.channel not in self._down and not _has_begun(history, other):
                fallback_sent = other is not None and history.is_sent(other)
                groups.setdefault((each.channel, str(group), fallback_sent), []).append(history.key)
        return next((tuple(keys[:MAX_DIGEST]) for keys in groups.values() if len(keys) >= BURST), ())

    # --- when -------------------------------------------------------------------------------------------------------

    def _deliveries(self, history: History) -> Iterator[_Delivery]:
        """The remaining deliveries of a message that are not blocked by others of its thread."""
        # With nothing left to send, a message is only closed.
        for name in self._channels(history) or [self._first]:
            at = self._next_try(history, name)
            if at is not None and not self._is_behind(history, name):
                yield _Delivery(history, name, at)

    def _channels(self, history: History) -> list[str]:
        """The channels that a message is still to be delivered over; the fallback, if it may get it, is the last."""
        names, other = unresolved(history, self.settings), fallback_of(history, self.settings)
        return [*names, other] if other and wants_fallback(history, self.settings) else names

    def _rank(self, delivery: _Delivery) -> tuple[Any, ...]:
        """While a channel is down, another message is tried each time: the one that failed may be the cause itself."""
        history, channel = delivery.history, delivery.channel
        urgent = self._events[history.key].severity in ("critical", "failed")
        tries = len(history.failures[channel].times) if channel in self._down and channel in history.failures else 0
        return (is_hopeless(history, channel), tries, not urgent, self._queued_at(history), history.key)

    def _next_try(self, history: History, channel: str) -> datetime.datetime | None:
        """When a message may be tried (again) over a channel; None while the fallback is not needed."""
        moments = [history.queued_at, self._down.get(channel, history.queued_at)]
        if failure := history.failures.get(channel):
            moments.append(failure.at + self._wait(failure))
        if history.crashes and history.tried_at:
            wait = _WAITS_AFTER_A_CRASH[min(history.crashes, len(_WAITS_AFTER_A_CRASH)) - 1]
            moments.append(history.tried_at + datetime.timedelta(seconds=wait))
        # If only a person can help the first channel, there is nothing to wait for.
        if channel == fallback_of(history, self.settings) and not is_hopeless(history, self._first):
            if self._first not in history.failures and self._first not in self._down:
                return None
            moments.append(self._queued_at(history) + datetime.timedelta(minutes=self.settings.fallback_after_minutes))
        return max(moments)

    def _wait(self, failure: Failure) -> datetime.timedelta:
        waits = _WAITS[failure.entry.reason]
        seconds = waits[min(len(failure.times), len(waits)) - 1]
        return datetime.timedelta(seconds=max(seconds, failure.entry.retry_after or 0))

    def _is_back(self, failure: Failure) -> bool:
        """Whether the channel has taken another message since."""
        reached = self.reached.get(failure.entry.channel)
        return reached is not None and reached > failure.at

    @cached_property
    def _down(self) -> dict[str, datetime.datetime]:
        """Channels that were found down, and until when each is left alone; past: a try finds out if it is back.

        The waits grow with the attempts that have failed since the channel last took a message.
        """
        found: dict[str, list[Failure]] = {}
        for each in self._left:
            for name, failure in each.failures.items():
                if failure.entry.reason in _DOWN and not self._is_back(failure):
                    found.setdefault(name, []).append(failure)
        down = {}
        for name, failures in found.items():
            reached = self.reached.get(name)
            failed = sorted(at for each in failures for at in each.times if reached is None or at > reached)
            wait = datetime.timedelta(seconds=_DOWN_WAITS[min(len(failed), len(_DOWN_WAITS)) - 1])
            asked = [each.at + datetime.timedelta(seconds=each.entry.retry_after or 0) for each in failures]
            down[name] = max(failed[-1] + wait, *asked)
        return down

    def _is_behind(self, history: History, channel: str) -> bool:
        """Whether another message of the thread has to be sent over the channel first, unless it is stuck itself."""
        thread = self._events[history.key].thread
        return thread is not None and any(
            self._precedes(one, history, thread)
            for other in self._left
            if other.key != history.key and channel in self._channels(other)
            if not other.is_sent(channel) and not is_hopeless(other, self._first)
            for one in (other, *self._parts.get(other.key, ()))
        )

    def _precedes(self, one: History, history: History, thread: str) -> bool:
        same_thread = self._events[one.key].thread == thread
        return one.key == thread or (same_thread and (one.queued_at, one.key) < (history.queued_at, history.key))

    # --- age --------------------------------------------------------------------------------------------------------

    @cached_property
    def _too_old(self) -> dict[str, str]:
        """Messages that are given up, with the reason. A digest takes those of its messages with it that are too old.

        After a weekend without power everything is tried once more.
        """
        hours = self.settings.message_max_age_hours
        why = f"Not delivered within {hours} h (METRICS_MESSAGE_MAX_AGE_HOURS): too old."
        of_digest = "Its messages were sent individually, or given up."
        found = {key: of_digest for key in self._useless if not self._parts[key]}
        of_channel = [failure.at for each in self._left if (failure := each.failures.get(self._first))]
        for each in self._left:
            tried = [*filter(None, [each.tried_at]), *(of_channel if self._first in self._down else ())]
            if self._is_old(each) and tried and max(tried) >= self.now - _LAST_CHANCE:
                found[each.key] = of_digest if each.key in self._parts else why
                found |= {part.key: why for part in self._parts.get(each.key, ()) if self._is_old(part)}
        return found

    def _is_old(self, history: History) -> bool:
        return self.now - self._queued_at(history) > datetime.timedelta(hours=self.settings.message_max_age_hours)


def _has_begun(history: History, other: str | None) -> bool:
    """Whether a part of a message is out, or may be: it must be finished as it is. The fallback's was finished."""
    if any(isinstance(entry, Sent) and entry.channel != other for entry in history.entries):
        return True
    return any(history.outcome_unknown(str(getattr(entry, "channel", ""))) for entry in history.entries)
