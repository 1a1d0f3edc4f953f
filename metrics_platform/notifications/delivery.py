"""Delivering one notification: over every channel it goes to, once, with a memory that outlives the process.

Each step is written to the journal before it is tried and after it is done. What an earlier try has done is not done
again; what it left in the dark is done again for alerts (twice is better than never) and not for reports (never is
better than twice). Nothing here knows Dagster or decides when to try: see `planning.py`.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from metrics_platform.charts.model import Chart
from metrics_platform.notifications.channel import Channel, Dispatch
from metrics_platform.notifications.errors import DeliveryError
from metrics_platform.notifications.journal import (
    Asked,
    Closed,
    Edited,
    Entry,
    Failed,
    Journal,
    Sending,
    Sent,
    asked,
    closed,
    is_sent,
    left_open,
    sent_steps,
)
from metrics_platform.notifications.kinds import (
    AnomalyOpened,
    AnomalyResolved,
    AnomalyUpdated,
    Digest,
    Event,
)
from metrics_platform.notifications.message import Message, Picture
from metrics_platform.notifications.templates import write
from metrics_platform.notifications.templates.anomalies import headline_when_over
from metrics_platform.notifications.templates.writer import Writer

# Reasons that waiting does not mend.
HOPELESS = ("misconfigured", "refused")
UNKNOWN_REPORT = (
    "Whether it arrived is not known: the answer was lost. A report is not sent twice; look into the chat, and ask for "
    "it again if it is not there."
)


@dataclass(frozen=True)
class Outcome:
    """What a try came to: what was sent over which channel, and what failed."""

    message: Message | None
    pictures: tuple[Picture, ...] = ()
    sent: tuple[Sent, ...] = ()
    failures: Mapping[str, DeliveryError] = field(default_factory=dict)
    closed: Closed | None = None


@dataclass(frozen=True)
class _Post:
    """A notification, written and drawn."""

    event: Event
    message: Message
    pictures: tuple[Picture, ...]
    composed_at: datetime.datetime


@dataclass(frozen=True)
class Courier:
    """Everything a delivery needs that is not the notification itself."""

    journal: Journal
    channels: Mapping[str, Channel]
    writer_at: Callable[[datetime.datetime], Writer]
    draw: Callable[[Chart], bytes]
    now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC)
    warn: Callable[[str], None] = lambda _: None

    def deliver(
        self,
        key: str,
        legs: tuple[str, ...],
        *,
        fallback: str | None = None,
        fallback_due: bool = False,
        only_fallback: bool = False,
    ) -> Outcome:
        """Deliver the notification `key` over the channels `legs`, as far as that has not been done.

        Where the first of them fails, `fallback` gets the message too: at once where only a person can mend the
        first, else when `fallback_due`. It does not take the first one's place: that is tried until it is too late.
        With `only_fallback` nothing else is tried now.
        Never raises for a channel: what failed is in the outcome, and in the journal.

        Raises:
            LookupError: nobody has asked for a notification with this key.
        """
        entries = self.journal.entries(key)
        event = asked(entries)
        if event is None:
            raise LookupError(f"nobody has asked for a notification {key!r}")
        if ended := closed(entries):
            return Outcome(None, closed=ended)
        if isinstance(event, AnomalyUpdated):
            return self._deliver_update(event, legs[0])
        composed_at = _first_composed(entries) or self.now()
        message = self.message(event, composed_at)
        pictures = self._pictures(message)
        post = _Post(event, message, pictures, composed_at)
        failures = {} if only_fallback else self._try_all(legs, post)
        first = failures.get(legs[0])
        if fallback and (only_fallback or (first and (fallback_due or first.reason in HOPELESS))):
            failures |= self._try_all((fallback,), post)
        entries = self.journal.entries(key)
        if isinstance(event, AnomalyResolved) and not event.still_open:
            self._mark_as_over(event, legs[0])
        ended = self._close(event, legs, entries, failures)
        sent = tuple(entry for entry in entries if isinstance(entry, Sent))
        return Outcome(message, pictures, sent, failures, ended)

    def message(self, event: Event, composed_at: datetime.datetime) -> Message:
        """The message that tells `event`, as of `composed_at`."""
        parts: tuple[Event, ...] = ()
        if isinstance(event, Digest):
            found = (asked(self.journal.entries(part)) for part in event.notifications)
            parts = tuple(part for part in found if part is not None)
        return write(event, self.writer_at(composed_at), parts)

    def _try_all(self, names: tuple[str, ...], post: _Post) -> dict[str, DeliveryError]:
        """Deliver over each channel what is not delivered over it yet; the errors of those that did not succeed."""
        failures = {}
        for name in names:
            entries = self.journal.entries(post.event.key)
            if is_sent(entries, name):
                continue
            try:
                self._deliver_over(name, post, entries)
            except DeliveryError as caught:
                self.warn(f"{name}: {caught}")
                failed = Failed(channel=name, reason=caught.reason, text=str(caught), retry_after=caught.retry_after)
                self.journal.write(post.event.key, failed)
                failures[name] = caught
        return failures

    def _deliver_over(self, name: str, post: _Post, entries: list[Entry]) -> None:
        event = post.event
        if event.at_most_once and left_open(entries, name):
            raise DeliveryError("unknown", UNKNOWN_REPORT)
        channel = self.channels.get(name)
        if channel is None:
            raise DeliveryError("misconfigured", f"The channel {name} is not set up.")
        channel.deliver(
            post.message,
            Dispatch(
                pictures=post.pictures,
                done=sent_steps(entries, name),
                reply_to=self._original(event.thread, name),
                thread=event.thread,
                repeat_unknown=not event.at_most_once,
                sending=lambda step: self.journal.write(
                    event.key, Sending(channel=name, step=step, composed_at=post.composed_at)
                ),
                sent=partial(self._note_sent, event),
            ),
        )

    def _note_sent(self, event: Event, sent: Sent) -> None:
        self.journal.write(event.key, sent)
        if isinstance(event, Digest) and sent.step + 1 == sent.steps:
            told = Sent(**{**sent.model_dump(), "step": 0, "steps": 1, "within": event.key})
            for part in event.notifications:
                self.journal.write(part, told)

    def _close(
        self, event: Event, legs: tuple[str, ...], entries: list[Entry], failures: Mapping[str, DeliveryError]
    ) -> Closed | None:
        """Close the notification, and what a digest has told, where every channel is done, or must not be tried."""
        done = [name for name in legs if is_sent(entries, name)]
        dark = [name for name in legs if name in failures and event.at_most_once and left_open(entries, name)]
        if len(done) + len(dark) < len(legs):
            return None
        ended = (
            Closed(outcome="unknown", text=UNKNOWN_REPORT)
            if dark
            else Closed(outcome="delivered", text=", ".join(done))
        )
        for key in (event.key, *(event.notifications if isinstance(event, Digest) else ())):
            self.journal.write(key, ended)
        return ended

    def _deliver_update(self, event: AnomalyUpdated, name: str) -> Outcome:
        """Edit the message of the opening; nothing to do where it is not out, or cannot be edited."""
        writer = self.writer_at(self.now())
        message = write(event, writer)
        original = self._original(event.thread, name)
        try:
            edited = original is not None and self.channels[name].edit(message, original)
        except DeliveryError as caught:
            failed = Failed(channel=name, reason=caught.reason, text=str(caught), retry_after=caught.retry_after)
            self.journal.write(event.key, failed)
            return Outcome(message, failures={name: caught})
        if edited and event.thread:
            self.journal.write(event.thread, Edited(channel=name, by=event.key))
        ended = Closed(outcome="delivered" if edited else "nothing_to_do", text=name)
        self.journal.write(event.key, ended)
        return Outcome(message, closed=ended)

    def _mark_as_over(self, event: AnomalyResolved, name: str) -> None:
        """Let the opening's first line say that it is over. The all-clear itself is out: nothing fails for this."""
        if event.thread is None or (original := self._original(event.thread, name)) is None:
            return
        entries = self.journal.entries(event.thread)
        if any(isinstance(entry, Edited) and entry.by == event.key for entry in entries):
            return
        latest = self._latest(entries)
        if latest is None:
            return
        writer = self.writer_at(_first_composed(entries) or self.now())
        headline = headline_when_over(latest, event.occurred_at, writer)
        message = replace(write(latest, writer), headline=headline)
        try:
            edited = self.channels[name].edit(message, original)
        except DeliveryError as caught:
            self.warn(f"The first message of {event.thread} could not be marked as over: {caught}")
            return
        if edited:
            self.journal.write(event.thread, Edited(channel=name, by=event.key))

    def _latest(self, entries: list[Entry]) -> AnomalyOpened | AnomalyUpdated | None:
        """What the opening's message tells now: what it was opened with, or its last edit."""
        for entry in reversed(entries):
            if isinstance(entry, Edited):
                update = asked(self.journal.entries(entry.by))
                if isinstance(update, AnomalyUpdated):
                    return update
        opening = next((entry.notification for entry in entries if isinstance(entry, Asked)), None)
        return opening if isinstance(opening, AnomalyOpened) else None

    def _original(self, thread: str | None, channel: str) -> Sent | None:
        """The first step of the message a notification answers, where it went out over this channel."""
        return sent_steps(self.journal.entries(thread), channel).get(0) if thread else None

    def _pictures(self, message: Message) -> tuple[Picture, ...]:
        """The charts, drawn; one that fails is left out, said so, and never costs the text."""
        pictures = []
        for make in message.charts:
            try:
                chart = make()
                pictures.append(Picture(chart.name, chart.title, self.draw(chart)))
            except Exception as caught:  # noqa: BLE001  (whatever a chart may raise, the text goes)
                self.warn(f"A chart of {message.key} could not be drawn: {type(caught).__name__}: {caught}")
        return tuple(pictures)


def _first_composed(entries: list[Entry]) -> datetime.datetime | None:
    """The moment the message was written at, where a part of it is out already: the others are cut as it was."""
    for entry in entries:
        if isinstance(entry, Sent):
            return next(each.composed_at for each in entries if isinstance(each, Sending))
    return None
