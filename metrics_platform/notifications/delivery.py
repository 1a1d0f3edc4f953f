"""Delivering one notification: over every channel it goes to, once, with a memory that outlives the process.

Each step is written to the journal before it is tried and after it is done. What an earlier try has done is not done
again; what it left in the dark is done again for alerts (twice is better than never) and not for reports (never is
better than twice). Nothing here knows Dagster or decides when to try: see `planning.py`.

An incident is one message. What changes of it is an edit; its all-clear is a reply, and an edit of its first line;
what is not out yet when it changes goes out as it is then.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from metrics_platform.charts.model import Drawable
from metrics_platform.notifications.channel import Channel, Dispatch
from metrics_platform.notifications.errors import DeliveryError
from metrics_platform.notifications.journal import (
    Closed,
    Edited,
    Entry,
    Failed,
    Journal,
    Sending,
    Sent,
    asked,
    closed,
    composed_at,
    failures,
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
from metrics_platform.notifications.pictures import drawn
from metrics_platform.notifications.templates import render_or_fallback
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
    """A notification, written as of one moment, and drawn."""

    message: Message
    composed_at: datetime.datetime
    draw: Callable[[Message], tuple[Picture, ...]]

    @cached_property
    def pictures(self) -> tuple[Picture, ...]:
        """The charts, drawn when a channel wants them."""
        return self.draw(self.message)


@dataclass
class _Try:
    """One try of one notification, and what came of it."""

    event: Event
    now: datetime.datetime
    post: _Post | None = None  # of the channel tried last
    failures: dict[str, DeliveryError] = field(default_factory=dict)
    crashes: list[Exception] = field(default_factory=list)


@dataclass(frozen=True)
class Courier:
    """Everything a delivery needs that is not the notification itself."""

    journal: Journal
    channels: Mapping[str, Channel]
    writer_at: Callable[[datetime.datetime], Writer]
    draw: Callable[[Drawable], bytes]
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
        With `only_fallback` the first is left alone now; copies that are still missing, and the fallback, go.
        A channel's failures are in the outcome, and in the journal. What nobody has thought of is raised only after
        the other channels had their turn.

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
            return Outcome(None) if only_fallback else self._deliver_update(event, legs[0])
        this = _Try(event, self.now())
        # A report in the dark is only closed, whoever is down.
        is_dark = event.at_most_once and left_open(entries, legs[0])
        # Left to the fallback alone, with no copy missing: that is what this try is for.
        due = fallback_due or (only_fallback and all(is_sent(entries, name) for name in legs[1:]))
        for name in legs if is_dark or not only_fallback else legs[1:]:
            self._try(name, this)
        if fallback and self._wants_fallback(this, legs[0], due=due):
            self._try(fallback, this)
        return self._finish(this, legs, fallback)

    def message(self, event: Event, composed_at: datetime.datetime) -> Message:
        """The message that tells `event`, as of `composed_at`."""
        parts: tuple[Event, ...] = ()
        if isinstance(event, Digest):
            found = (asked(self.journal.entries(part)) for part in event.notifications)
            parts = tuple(part for part in found if part is not None)
        return self._write(event, composed_at, parts)

    def _write(
        self,
        event: Event,
        moment: datetime.datetime,
        parts: tuple[Event, ...] = (),
        over: AnomalyResolved | None = None,
    ) -> Message:
        message, problem = render_or_fallback(event, self.writer_at(moment), parts, over)
        if problem:
            self.warn(f"{event.key} could not be worded: {problem}")
        return message

    def _try(self, name: str, this: _Try) -> None:
        """Deliver over one channel what is not delivered over it yet."""
        entries = self.journal.entries(this.event.key)
        if is_sent(entries, name):
            return
        try:
            self._deliver_over(name, this, entries)
        except DeliveryError as caught:
            this.failures[name] = caught
        except Exception as caught:  # noqa: BLE001  (raised when the other channels had their turn)
            this.crashes.append(caught)
        if error := this.failures.get(name):
            self._note_failed(this.event.key, name, error)

    def _note_failed(self, key: str, name: str, error: DeliveryError) -> None:
        self.warn(f"{name}: {error}")
        before = failures(self.journal.entries(key)).get(name)
        self.journal.write(
            key,
            Failed(
                channel=name,
                reason=error.reason,
                text=str(error),
                retry_after=error.retry_after,
                at=self.now(),
                number=(before.number if before else 0) + 1,
            ),
        )

    def _deliver_over(self, name: str, this: _Try, entries: list[Entry]) -> None:
        event = this.event
        if event.at_most_once and left_open(entries, name):
            raise DeliveryError("unknown", UNKNOWN_REPORT)
        channel = self.channels.get(name)
        if channel is None:
            raise DeliveryError("misconfigured", f"The channel {name} is not set up.")
        if isinstance(event, Digest) and self._told_one_by_one(event, name):
            note = "Each of its messages was told there before."
            self.journal.write(event.key, Sent(channel=name, step=0, steps=1, notes=(note,)))
            return
        post = this.post = self._post(name, this, entries)
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
                sent=partial(self.journal.write, event.key),
            ),
        )
        self._note_left_out(event.key, name)

    def _note_left_out(self, key: str, name: str) -> None:
        """The channel is done. Where a chart was drawn before and cannot be drawn now, a step is not there any more."""
        entries = self.journal.entries(key)
        done = sent_steps(entries, name)
        steps = next(iter(done.values())).steps if done else 0
        for step in range(steps):
            if step not in done:
                note = "It was left out: what it was made of is not there any more."
                self.journal.write(key, Sent(channel=name, step=step, steps=steps, notes=(note,)))

    def _post(self, name: str, this: _Try, entries: list[Entry]) -> _Post:
        """The message as this channel gets it: cut as it was where a part of it is out, else as of now."""
        moment = composed_at(entries, name)
        if moment is None and this.post is not None and this.post.composed_at == this.now:
            return this.post
        event = this.event
        if moment is None and isinstance(event, AnomalyOpened):
            message = self._opening_as_it_is_now(event, entries, this.now)
        else:
            message = self.message(event, moment or this.now)
        return _Post(message, moment or this.now, partial(drawn, draw=self.draw, warn=self.warn))

    def _wants_fallback(self, this: _Try, first: str, *, due: bool) -> bool:
        entries = self.journal.entries(this.event.key)
        if is_sent(entries, first) or (this.event.at_most_once and left_open(entries, first)):
            return False
        error = this.failures.get(first)
        return due or (error is not None and error.reason in HOPELESS)

    def _finish(self, this: _Try, legs: tuple[str, ...], fallback: str | None) -> Outcome:
        """What follows from what is out: the digest's parts, the opening's first line, the end."""
        event = this.event
        entries = self.journal.entries(event.key)
        if isinstance(event, Digest):
            for name in (*legs, *((fallback,) if fallback else ())):
                if is_sent(entries, name):
                    self._tell_parts(event, sent_steps(entries, name)[0])
        if is_sent(entries, legs[0]):
            self._mark_all_as_over(this, legs[0])
        ended = self._close(this, legs, entries)
        if this.crashes:
            raise this.crashes[0]
        post = this.post or self._post(legs[0], this, entries)
        pictures = post.pictures if this.post else ()
        sent = tuple(entry for entry in entries if isinstance(entry, Sent))
        return Outcome(post.message, pictures, sent, this.failures, ended)

    def _close(self, this: _Try, legs: tuple[str, ...], entries: list[Entry]) -> Closed | None:
        """Close the notification, after what it tells of others, where every channel is done, or must not be tried."""
        event = this.event
        dark = [name for name in legs if name in this.failures and event.at_most_once and left_open(entries, name)]
        done = [name for name in legs if is_sent(entries, name) and name not in this.failures]
        if len(done) + len(dark) < len(legs):
            return None
        ended = Closed(outcome="delivered", text=", ".join(done))
        if dark:
            ended = Closed(outcome="unknown", text=f"{', '.join(dark)}: {UNKNOWN_REPORT}")
        for key in (*(event.notifications if isinstance(event, Digest) else ()), event.key):
            if closed(self.journal.entries(key)) is None:
                self.journal.write(key, ended)
        return ended

    def _told_one_by_one(self, digest: Digest, name: str) -> bool:
        found = [sent_steps(self.journal.entries(part), name).get(0) for part in digest.notifications]
        return all(sent is not None and sent.within != digest.key for sent in found)

    def _tell_parts(self, digest: Digest, sent: Sent) -> None:
        """Note with each part that the digest has told it: it is out, and this is its message."""
        told = sent.model_copy(update={"step": 0, "steps": 1, "within": digest.key})
        for part in digest.notifications:
            if not sent_steps(self.journal.entries(part), sent.channel):
                self.journal.write(part, told)

    def _deliver_update(self, event: AnomalyUpdated, name: str) -> Outcome:
        """Edit the message of the opening; where it is not out yet, it will tell this itself."""
        message = self._write(event, self.now())
        entries = self.journal.entries(event.thread) if event.thread else []
        original = sent_steps(entries, name).get(0)
        channel = self.channels.get(name)
        edited, error = False, None
        if event.thread and not self._is_superseded(event, entries):
            try:
                if original is not None and channel is not None:
                    edited = channel.edit(message, original, drawn(message, self.draw, self.warn))
            except DeliveryError as caught:
                error = caught
            if error is not None:
                self._note_failed(event.key, name, error)
                return Outcome(message, failures={name: error})
            if edited or original is None:
                self.journal.write(event.thread, Edited(channel=name, by=event.key))
        ended = Closed(outcome="delivered" if edited else "nothing_to_do", text=name)
        self.journal.write(event.key, ended)
        return Outcome(message, closed=ended)

    def _is_superseded(self, event: AnomalyUpdated, entries: list[Entry]) -> bool:
        """Whether the opening's message tells something newer already, such as that it is over."""
        told = [asked(self.journal.entries(entry.by)) for entry in entries if isinstance(entry, Edited)]
        return any(isinstance(one, AnomalyResolved) or (one and one.occurred_at > event.occurred_at) for one in told)

    def _mark_all_as_over(self, this: _Try, name: str) -> None:
        """Let the first lines of the openings say that they are over; what passes is tried again, for it alone."""
        event = this.event
        parts = event.notifications if isinstance(event, Digest) else ()
        told = [event, *(asked(self.journal.entries(part)) for part in parts)]
        for one in told:
            if not isinstance(one, AnomalyResolved) or one.still_open or one.thread is None:
                continue
            error = None
            try:
                self._mark_as_over(one, one.thread, name)
            except DeliveryError as caught:
                error = caught
            if error is not None and error.reason in HOPELESS:
                self.warn(f"The first message of {one.thread} could not be marked as over: {error}")
            elif error is not None:
                this.failures[name] = error
                self._note_failed(event.key, name, error)
                return

    def _mark_as_over(self, event: AnomalyResolved, thread: str, name: str) -> None:
        entries = self.journal.entries(thread)
        if any(isinstance(entry, Edited) and entry.by == event.key for entry in entries):
            return
        opening = asked(entries)
        if not isinstance(opening, AnomalyOpened):
            return
        original = sent_steps(entries, name).get(0)
        edited = False
        if original is not None:
            moment = composed_at(entries, name) or self.now()
            edited = self.channels[name].edit(self._when_over(opening, entries, event, moment), original)
        if edited or original is None:
            self.journal.write(thread, Edited(channel=name, by=event.key))

    def _opening_as_it_is_now(self, opening: AnomalyOpened, entries: list[Entry], moment: datetime.datetime) -> Message:
        """An opening that goes out after it has changed, or after its all-clear, which did not wait for it."""
        told = [asked(self.journal.entries(entry.by)) for entry in entries if isinstance(entry, Edited)]
        over = next((one for one in told if isinstance(one, AnomalyResolved)), None)
        if over is not None:
            return self._when_over(opening, entries, over, moment)
        latest = self._latest(opening, entries)
        return replace(self._write(latest, moment), key=opening.key, kind=opening.kind)

    def _when_over(
        self, opening: AnomalyOpened, entries: list[Entry], over: AnomalyResolved, moment: datetime.datetime
    ) -> Message:
        latest = self._latest(opening, entries)
        return replace(self._write(latest, moment, over=over), key=opening.key, kind=opening.kind)

    def _latest(self, opening: AnomalyOpened, entries: list[Entry]) -> AnomalyOpened | AnomalyUpdated:
        """What the opening's message tells now: what it was opened with, or its last edit; it began when it did."""
        for entry in reversed(entries):
            if isinstance(entry, Edited):
                update = asked(self.journal.entries(entry.by))
                if isinstance(update, AnomalyUpdated):
                    return update.model_copy(update={"occurred_at": opening.occurred_at})
        return opening

    def _original(self, thread: str | None, channel: str) -> Sent | None:
        """The first step of the message a notification answers, where it went out over this channel."""
        return sent_steps(self.journal.entries(thread), channel).get(0) if thread else None
