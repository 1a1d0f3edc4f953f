"""Send queued messages. Every step is recorded before it is tried, and again after the channel has answered.

Steps that an earlier attempt finished are not repeated. A step with an unknown outcome is repeated for alerts (a
duplicate is better than a lost alert) and not for reports (a lost report is better than a duplicate).
"""

from __future__ import annotations

import datetime
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from metrics_platform.channel_settings import ChannelSettings
from metrics_platform.notifications.channel import Channel, DeliveryContext, DeliveryError
from metrics_platform.notifications.composer import Composer
from metrics_platform.notifications.history import (
    Closed,
    Edited,
    Failed,
    History,
    Journal,
    Queued,
    Sending,
    Sent,
    Started,
)
from metrics_platform.notifications.kinds import AnomalyOpened, AnomalyResolved, AnomalyUpdated, Digest, Event
from metrics_platform.notifications.message import Message, Picture
from metrics_platform.notifications.queueing import Step, digest_of, next_step, unresolved
from metrics_platform.redaction import mask

UNKNOWN_REPORT = (
    "The answer was lost, so it is unknown whether the report arrived. A report is not sent twice. Check the chat, and "
    "send the report again if it is missing."
)
# Wait for a message that is due within this time: starting another run takes as long.
LINGER = datetime.timedelta(seconds=20)
_POLL_SECONDS = 0.5
# After this time the run ends. One that lasts much longer is considered dead.
MAX_RUN_TIME = datetime.timedelta(minutes=10)


@dataclass(frozen=True)
class Attempt:
    """An attempt to send a message over a channel, and its result."""

    key: str
    channel: str
    message: Message | None = None
    pictures: tuple[Picture, ...] = ()
    error: DeliveryError | None = None


@dataclass
class Dispatcher:
    """Sends the messages that are queued in `journal` over `channels`."""

    journal: Journal
    channels: Mapping[str, Channel]
    composer: Composer
    settings: ChannelSettings
    now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC)
    warn: Callable[[str], None] = lambda _: None
    _rendered: tuple[Message | None, tuple[Picture, ...]] = (None, ())

    def drain(
        self,
        report: Callable[[Attempt], None],
        *,
        expects_more: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Step:
        """Send due messages until none is due soon or expected. Reread the journal before each message.

        Each attempt is passed to `report`. Returns the step that says why nothing more is sent.
        """
        started_at = self.now()
        while True:
            more, now = expects_more(), self.now()
            step = next_step(self.journal.waiting(), self.settings, now, self.journal.reached)
            for key, why in step.give_up.items():
                self.warn(f"{key} is given up. {why}")
                self.journal.write(key, Closed(outcome="given_up", text=why))
            if step.digest:
                digest = digest_of(self._events(step.digest))
                self.journal.write(digest.key, Queued(notification=digest))
            elif step.send:
                report(self.send(*step.send))
            elif not step.give_up:
                is_soon = step.at is not None and step.at - now <= LINGER
                if not is_soon and not more:
                    return step
                sleep(_POLL_SECONDS)
            if self.now() - started_at > MAX_RUN_TIME:
                return replace(step, reason=f"this run has taken {MAX_RUN_TIME}; another one continues")

    def deliver(self, key: str) -> list[Attempt]:
        """Send one queued message over every channel that does not have it yet, whatever else is due."""
        history = self.journal.history(key)
        if history.closed:
            return []
        return [self.send(key, name) for name in unresolved(history, self.settings) or [self.settings.first_channel]]

    def send(self, key: str, name: str) -> Attempt:
        """Send the missing steps of a message over one channel, and close it if that was the last channel."""
        event = self._event(key)
        assert event is not None
        self.journal.write(key, Started(channel=name))
        self._rendered = (None, ())
        error: DeliveryError | None = None
        try:
            self._deliver_over(event, self.channels[name])
        except DeliveryError as caught:
            error = caught
        except Exception as caught:  # noqa: BLE001  (a bug in one channel must not hold up others)
            self.warn(mask(traceback.format_exc()))
            unknown = event.at_most_once and self.journal.history(key).outcome_unknown(name)
            text = f"Unexpected error, probably a bug: {type(caught).__name__}: {mask(str(caught))}"
            error = DeliveryError("unknown" if unknown else "refused", text)
        if error is not None:
            self.warn(f"{name}: {error}")
            failed = Failed(channel=name, reason=error.reason, text=str(error), retry_after=error.retry_after)
            self.journal.write(key, failed)
        self._close_if_done(event, done=() if error else (name,))
        return Attempt(key, name, *self._rendered, error)

    def _deliver_over(self, event: Event, channel: Channel) -> None:
        name = channel.name
        if isinstance(event, AnomalyUpdated):
            edited = self._edit_opening(event, channel)
            self.journal.write(event.key, Closed(outcome="delivered" if edited else "nothing_to_do", text=name))
            return
        history = self.journal.history(event.key)
        if not history.is_sent(name) and not (event.at_most_once and history.outcome_unknown(name)):
            self._send_steps(event, history, channel)
        if isinstance(event, Digest):
            self._mark_parts(event, name)
        if name == self.settings.first_channel:
            self._mark_resolved(event, channel)

    def _send_steps(self, event: Event, history: History, channel: Channel) -> None:
        key, name = event.key, channel.name
        if isinstance(event, Digest) and self._sent_individually(event, name):
            note = "Each of its messages was sent there before."
            self.journal.write(key, Sent(channel=name, step=0, steps=1, notes=(note,)))
            return
        # If a part was sent before, render the message as of then, so that it is split at the same places.
        rendered_at = history.composed_at(name)
        moment = rendered_at or self.now()
        message = self._message(event, moment, edits=() if rendered_at else history.edited_by)
        pictures = self.composer.pictures(message)
        self._rendered = (message, pictures)
        context = DeliveryContext(
            pictures=pictures,
            reply_to=self.journal.history(event.thread).steps(name).get(0) if event.thread else None,
            thread=event.thread,
            repeat_unknown=not event.at_most_once,
        )
        steps, done = channel.steps(message, context), history.steps(name)
        for number, step in enumerate(steps):
            if number not in done:
                self.journal.write(key, Sending(channel=name, step=number, composed_at=moment))
                sent = Sent(channel=name, step=number, steps=len(steps), **step(done.get(0)))
                self.journal.write(key, sent)
                done[number] = sent
                for note in sent.notes:
                    self.warn(note)
        # If a chart was drawn before and fails now, its step no longer exists.
        total = next(iter(done.values())).steps if done else 0
        for number in set(range(total)) - set(done):
            note = "It was left out: its chart can no longer be drawn."
            self.journal.write(key, Sent(channel=name, step=number, steps=total, notes=(note,)))

    def _message(self, event: Event, moment: datetime.datetime, edits: Sequence[str]) -> Message:
        if isinstance(event, AnomalyOpened):
            return self.composer.opening(event, self._events(edits), moment)
        parts = self._events(event.notifications) if isinstance(event, Digest) else ()
        return self.composer.message(event, moment, parts)

    def _close_if_done(self, event: Event, done: Sequence[str]) -> None:
        history = self.journal.history(event.key)
        if history.closed or not set(unresolved(history, self.settings)) <= set(done):
            return
        names = self.settings.recipients(event.kind, event.severity)
        unknown = [name for name in names if history.outcome_unknown(name)]
        closed = Closed(outcome="delivered", text=", ".join(name for name in names if name not in unknown))
        if unknown:
            closed = Closed(outcome="unknown", text=f"{', '.join(unknown)}: {UNKNOWN_REPORT}")
        for key in (*(event.notifications if isinstance(event, Digest) else ()), event.key):
            if self.journal.history(key).closed is None:
                self.journal.write(key, closed)

    # --- digests -----------------------------------------------------------------------------------------------------

    def _sent_individually(self, digest: Digest, name: str) -> bool:
        sent_parts = [self.journal.history(part).steps(name).get(0) for part in digest.notifications]
        return all(sent is not None and sent.within != digest.key for sent in sent_parts)

    def _mark_parts(self, digest: Digest, name: str) -> None:
        """Record for each message of a digest that it was sent within the digest."""
        sent = self.journal.history(digest.key).steps(name)[0]
        for part in digest.notifications:
            if not self.journal.history(part).steps(name):
                self.journal.write(part, sent.model_copy(update={"step": 0, "steps": 1, "within": digest.key}))

    # --- edits -------------------------------------------------------------------------------------------------------

    def _mark_resolved(self, event: Event, channel: Channel) -> None:
        """Edit the opening messages that `event`, or a part of it, resolves. Raises transient errors, for a retry."""
        parts = event.notifications if isinstance(event, Digest) else ()
        for notification in (event, *map(self._event, parts)):
            if isinstance(notification, AnomalyResolved):
                try:
                    self._edit_opening(notification, channel)
                except DeliveryError as caught:
                    if caught.is_transient:
                        raise
                    self.warn(f"The first message of {notification.thread} could not be marked as resolved: {caught}")

    def _edit_opening(self, event: AnomalyUpdated | AnomalyResolved, channel: Channel) -> bool:
        """Edit the message of the incident that `event` is about. If it is not sent yet, it will include `event`."""
        history = self.journal.history(event.thread) if event.thread else None
        if history is None or not isinstance(history.event, AnomalyOpened) or event.key in history.edited_by:
            return False
        changes = self._events(history.edited_by)
        if isinstance(event, AnomalyUpdated) and any(_is_newer(change, event) for change in changes):
            return False
        original = history.steps(channel.name).get(0)
        edited = False
        if original is not None:
            moment = history.composed_at(channel.name) or self.now()
            message = self.composer.opening(history.event, [*changes, event], moment)
            pictures = self.composer.pictures(message) if isinstance(event, AnomalyUpdated) else ()
            edited = channel.edit(message, original, pictures)
        if edited or original is None:
            self.journal.write(history.key, Edited(channel=channel.name, by=event.key))
        return edited

    def _event(self, key: str) -> Event | None:
        return self.journal.history(key).event

    def _events(self, keys: Sequence[str]) -> list[Event]:
        return [event for key in keys if (event := self._event(key))]


def _is_newer(change: Event, event: Event) -> bool:
    return isinstance(change, AnomalyResolved) or change.occurred_at > event.occurred_at
