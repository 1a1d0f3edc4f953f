"""Send one message now over every channel that is set up, as `metrics-platform notify-test` does.

Its journal ends with the process: the user waits for the result, and needs neither Dagster nor ClickHouse.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Sequence

from metrics_platform.findings import Finding
from metrics_platform.notifications.channels import channels_for
from metrics_platform.notifications.dispatcher import Dispatcher
from metrics_platform.notifications.history import Entry, Journal, Queued, Stored
from metrics_platform.notifications.kinds import Notification, TestMessage
from metrics_platform.notifications.retry import RetryPolicy
from metrics_platform.notifications.templates import Composer
from metrics_platform.settings import Settings

_POLICY = RetryPolicy(budget=20, tries=3)


class _NotStored:
    """Storage without anything in it."""

    def since(self, moment: float) -> Sequence[Stored]:
        return ()

    def of(self, keys: Sequence[str]) -> dict[str, Sequence[Stored]]:
        return {}

    def write(self, key: str, entry: Entry) -> Stored:
        return Stored(time.time(), key, entry)


def send_test_message(settings: Settings, policy: RetryPolicy = _POLICY) -> Iterator[Finding]:
    """Send a test message; see `send_now`."""
    now = datetime.datetime.now(datetime.UTC)
    return send_now(TestMessage(key=f"test-{now:%Y-%m-%dT%H-%M-%S}", occurred_at=now), settings, policy)


def send_now(event: Notification, settings: Settings, policy: RetryPolicy = _POLICY) -> Iterator[Finding]:
    """Send `event`; yields for each channel where it arrived, or what is wrong."""
    journal = Journal(_NotStored())
    journal.write(event.key, Queued(notification=event))
    notes: list[str] = []
    channels = channels_for(settings, policy, warn=notes.append)
    composer = Composer.for_settings(settings, notes.append)
    dispatcher = Dispatcher(journal, channels, composer, settings, warn=notes.append)
    attempts = [dispatcher.send(event.key, name) for name in channels]
    for attempt in attempts:
        if attempt.error is not None:
            remedy = channels[attempt.channel].remedy(attempt.error)
            yield Finding(attempt.channel, "problem", str(attempt.error), remedy)
        else:
            sent = journal.history(event.key).steps(attempt.channel)[0]
            yield Finding(attempt.channel, "ok", f"sent to {sent.address}" + (f": {sent.link}" if sent.link else ""))
    errors = [str(attempt.error) for attempt in attempts if attempt.error]
    for note in dict.fromkeys(notes):
        if not any(error in note for error in errors):
            yield Finding("Note", "note", note)
