"""Decide what to send next and over which channel, or why to send nothing.

A pure function of the waiting messages. A delivery is one message over one channel: the first channel, a copy, or the
fallback. Urgent messages go first, then the oldest. Messages that wait for a user to act go last. Messages of one
thread keep their order on each channel.
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

# From this many due messages on, they are sent as one digest: no one reads a burst of fifty.
BURST = 6
# No one reads a longer digest either.
MAX_DIGEST = 40
# A channel that is down is tried again soon, later every five minutes.
_DOWN_WAITS = (15, 30, 60, 120, 300)
# The waits after a message's first, second, … failure over a channel. Each lost answer may mean one more copy of an
# alert in the chat, so these are retried less often.
_WAITS: Mapping[Reason, tuple[int, ...]] = {
    "unreachable": (15, 30, 60),  # the channel's wait is longer, until it has taken another message
    "unknown": (30, 120, 300, 900, 1800),
    "misconfigured": (60, 300, 900),
    "refused": (60, 300, 900, 3600),
}
_WAITS_AFTER_A_CRASH = (15, 60, 300, 900)
# A message that crashes this often is itself the cause. It must not hold up others.
_MAX_CRASHES = 3
# A message is given up only if it, or its channel, was tried within this time: the platform may have been off.
_RECENT = datetime.timedelta(hours=1)
_PERMANENT = ("misconfigured", "refused")
_TRANSIENT = ("unreachable", "unknown")


@dataclass(frozen=True)
class Step:
    """What to do next, and why: send a message, combine several into a digest, or wait."""

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
    """The next step for the `waiting` messages. `reached`: when each channel last accepted a message."""
    return _Queue(waiting, settings, now, reached or {}).next_step()


def unresolved(history: History, settings: ChannelSettings) -> list[str]:
    """The channels, without the fallback, over which a message is still to be delivered.

    A report with an unknown outcome is not sent again. A failure after the last step concerns an edit.
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
    """Whether a fallback may get a message: no channel has accepted it and, for a report, none can have."""
    event = history.event
    assert event is not None
    fallbacks = settings.fallbacks(event.kind, event.severity)
    names = (settings.first_channel, *fallbacks)
    if not fallbacks or any(map(history.is_sent, names)):
        return False
    return not (event.at_most_once and any(map(history.outcome_unknown, names)))


def needs_user(history: History, channel: str) -> bool:
    """Whether waiting does not help: a user has to act, or the message crashes its runs."""
    failure = history.failures.get(channel)
    return failure.entry.reason in _PERMANENT if failure else history.crashes >= _MAX_CRASHES


def digest_of(events: Sequence[Event]) -> Digest:
    """One message in place of several, with the severity of the worst and the time of the earliest.

    The same messages always give the same digest.
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
    """A message to send over a channel, and the earliest time."""

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
    def _first_channel(self) -> str:
        return self.settings.first_channel

    @cached_property
    def _readable(self) -> dict[str, History]:
        return {history.key: history for history in self.waiting if history.event}

    @cached_property
    def _events(self) -> dict[str, Event]:
        return {history.key: history.event for history in self.waiting if history.event}

    def next_step(self) -> Step:
        give_up = {history.key: history.unreadable for history in self.waiting if not history.event} | self._expired
        candidates = [history for history in self._candidates if history.key not in give_up]
        deliveries = sorted(
            (delivery for history in candidates for delivery in self._deliveries(history)), key=self._rank
        )
        due = [delivery for delivery in deliveries if delivery.at <= self.now]
        if digest := self._burst(due):
            return Step(f"a burst: {len(digest)} messages become one", digest=digest, give_up=give_up)
        if due:
            return Step("due", send=(due[0].history.key, due[0].channel), give_up=give_up)
        if not candidates:
            return Step("given up" if give_up else "nothing is waiting", give_up=give_up)
        at = min((delivery.at for delivery in deliveries), default=self.now + datetime.timedelta(minutes=1))
        prefix = (
            f"{self._first_channel} cannot be reached: "
            if self._down_until.get(self._first_channel, self.now) > self.now
            else ""
        )
        return Step(f"{prefix}{len(candidates)} waiting, next try at {at:%H:%M:%S} UTC", give_up=give_up, at=at)

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
    def _failed_digests(self) -> set[str]:
        """Digests that are refused or crash. Their messages are sent individually.

        A failed digest stays until its messages are sent, so that they do not become the same digest again.
        """

        def has_failed(digest: History) -> bool:
            failure = digest.failures.get(self._first_channel)
            return failure.entry.reason == "refused" if failure else digest.crashes >= _MAX_CRASHES

        return {key for key in self._parts if has_failed(self._readable[key])}

    @cached_property
    def _candidates(self) -> list[History]:
        """The messages to send: all that are not part of a digest, and no failed digest."""
        in_digests = {
            part.key for key, parts in self._parts.items() if key not in self._failed_digests for part in parts
        }
        return [history for key, history in self._readable.items() if key not in in_digests | self._failed_digests]

    def _queued_at(self, history: History) -> datetime.datetime:
        """A digest is as old as its oldest message."""
        return min([history.queued_at, *(part.queued_at for part in self._parts.get(history.key, ()))])

    def _burst(self, due: Sequence[_Delivery]) -> tuple[str, ...]:
        """The messages of the first group that is large enough for a digest.

        A channel that is down gets a single message first: a digest of everything would only fail as a whole.
        """
        sent_alone = {part.key for key in self._failed_digests for part in self._parts[key]}
        groups: dict[tuple[str, str, bool], list[str]] = {}
        for delivery in due:
            history, event = delivery.history, self._events[delivery.history.key]
            fallback = fallback_of(history, self.settings)
            group = self.settings.digest_group(event.kind, event.severity)
            allowed = event.digestible and group is not None and history.key not in sent_alone
            if allowed and delivery.channel not in self._down_until and not _has_begun(history, fallback):
                fallback_sent = fallback is not None and history.is_sent(fallback)
                groups.setdefault((delivery.channel, str(group), fallback_sent), []).append(history.key)
        return next((tuple(keys[:MAX_DIGEST]) for keys in groups.values() if len(keys) >= BURST), ())

    # --- when -------------------------------------------------------------------------------------------------------

    def _deliveries(self, history: History) -> Iterator[_Delivery]:
        """The remaining deliveries of a message, except those that wait for others of its thread."""
        # If nothing is left to send, the message is only closed.
        for name in self._channels(history) or [self._first_channel]:
            at = self._next_try(history, name)
            if at is not None and not self._is_blocked(history, name):
                yield _Delivery(history, name, at)

    def _channels(self, history: History) -> list[str]:
        """The channels over which a message is still to be delivered. If the fallback may get it, it comes last."""
        names, fallback = unresolved(history, self.settings), fallback_of(history, self.settings)
        return [*names, fallback] if fallback and wants_fallback(history, self.settings) else names

    def _rank(self, delivery: _Delivery) -> tuple[Any, ...]:
        """The sort key. While a channel is down, each try takes another message: one that fails may be the cause."""
        history, channel = delivery.history, delivery.channel
        urgent = self._events[history.key].severity in ("critical", "failed")
        tries = (
            len(history.failures[channel].times) if channel in self._down_until and channel in history.failures else 0
        )
        return (needs_user(history, channel), tries, not urgent, self._queued_at(history), history.key)

    def _next_try(self, history: History, channel: str) -> datetime.datetime | None:
        """When to try a message over a channel; None while the fallback is not needed."""
        moments = [history.queued_at, self._down_until.get(channel, history.queued_at)]
        if failure := history.failures.get(channel):
            moments.append(failure.at + self._wait(failure))
        if history.crashes and history.tried_at:
            wait = _WAITS_AFTER_A_CRASH[min(history.crashes, len(_WAITS_AFTER_A_CRASH)) - 1]
            moments.append(history.tried_at + datetime.timedelta(seconds=wait))
        # If a user must fix the first channel, waiting does not help.
        if channel == fallback_of(history, self.settings) and not needs_user(history, self._first_channel):
            if self._first_channel not in history.failures and self._first_channel not in self._down_until:
                return None
            moments.append(self._queued_at(history) + datetime.timedelta(minutes=self.settings.fallback_after_minutes))
        return max(moments)

    def _wait(self, failure: Failure) -> datetime.timedelta:
        waits = _WAITS[failure.entry.reason]
        seconds = waits[min(len(failure.times), len(waits)) - 1]
        return datetime.timedelta(seconds=max(seconds, failure.entry.retry_after or 0))

    def _has_recovered(self, failure: Failure) -> bool:
        """Whether the channel has accepted another message since."""
        reached = self.reached.get(failure.entry.channel)
        return reached is not None and reached > failure.at

    @cached_property
    def _down_until(self) -> dict[str, datetime.datetime]:
        """The channels that are down, and when each may be tried again.

        The waits grow with the failed attempts since the channel last accepted a message.
        """
        failures_by_channel: dict[str, list[Failure]] = {}
        for history in self._candidates:
            for name, failure in history.failures.items():
                if failure.entry.reason in _TRANSIENT and not self._has_recovered(failure):
                    failures_by_channel.setdefault(name, []).append(failure)
        down = {}
        for name, failures in failures_by_channel.items():
            reached = self.reached.get(name)
            failed = sorted(at for failure in failures for at in failure.times if reached is None or at > reached)
            wait = datetime.timedelta(seconds=_DOWN_WAITS[min(len(failed), len(_DOWN_WAITS)) - 1])
            requested = [
                failure.at + datetime.timedelta(seconds=failure.entry.retry_after or 0) for failure in failures
            ]
            down[name] = max(failed[-1] + wait, *requested)
        return down

    def _is_blocked(self, history: History, channel: str) -> bool:
        """Whether another message of the thread must be sent over the channel first. Stuck messages do not block."""
        thread = self._events[history.key].thread
        return thread is not None and any(
            self._precedes(part, history, thread)
            for other in self._candidates
            if other.key != history.key and channel in self._channels(other)
            if not other.is_sent(channel) and not needs_user(other, self._first_channel)
            for part in (other, *self._parts.get(other.key, ()))
        )

    def _precedes(self, other: History, history: History, thread: str) -> bool:
        same_thread = self._events[other.key].thread == thread
        return other.key == thread or (same_thread and (other.queued_at, other.key) < (history.queued_at, history.key))

    # --- age --------------------------------------------------------------------------------------------------------

    @cached_property
    def _expired(self) -> dict[str, str]:
        """Messages to give up, with the reason. With a digest, those of its messages that are too old are given up.

        After a weekend without power, everything is tried once more.
        """
        hours = self.settings.message_max_age_hours
        why = f"Not delivered within {hours} h (METRICS_MESSAGE_MAX_AGE_HOURS): too old."
        why_digest = "Its messages were sent individually, or given up."
        expired = {key: why_digest for key in self._failed_digests if not self._parts[key]}
        channel_failures = [
            failure.at for history in self._candidates if (failure := history.failures.get(self._first_channel))
        ]
        for history in self._candidates:
            tried = [
                *filter(None, [history.tried_at]),
                *(channel_failures if self._first_channel in self._down_until else ()),
            ]
            if self._is_expired(history) and tried and max(tried) >= self.now - _RECENT:
                expired[history.key] = why_digest if history.key in self._parts else why
                expired |= {part.key: why for part in self._parts.get(history.key, ()) if self._is_expired(part)}
        return expired

    def _is_expired(self, history: History) -> bool:
        return self.now - self._queued_at(history) > datetime.timedelta(hours=self.settings.message_max_age_hours)


def _has_begun(history: History, fallback: str | None) -> bool:
    """Whether a part of a message was or may have been sent, except over the fallback: it must be finished as it is."""
    if any(isinstance(entry, Sent) and entry.channel != fallback for entry in history.entries):
        return True
    return any(history.outcome_unknown(str(getattr(entry, "channel", ""))) for entry in history.entries)
