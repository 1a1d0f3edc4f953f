"""`metrics-platform notify-test`: one message over every channel that is set up, delivered as all others are.

It goes through the same templates, channels and courier, with a journal that ends with the process: a person waits
for the answer, and needs neither Dagster nor ClickHouse for it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from metrics_platform.charts.draw import draw
from metrics_platform.findings import Finding
from metrics_platform.notifications.channels import channels_for
from metrics_platform.notifications.delivery import Courier
from metrics_platform.notifications.inspection import remedy_of
from metrics_platform.notifications.journal import Asked, MemoryJournal
from metrics_platform.notifications.kinds import TestMessage
from metrics_platform.notifications.templates.writer import Writer
from metrics_platform.notifications.transport import Patience
from metrics_platform.settings import Settings

_PATIENCE = Patience(budget=20, tries=3)


def send_test_message(settings: Settings, patience: Patience = _PATIENCE) -> Iterator[Finding]:
    """Send it; yields for each channel where it arrived, or what is the matter."""
    now = datetime.datetime.now(datetime.UTC)
    event = TestMessage(key=f"test-{now:%Y-%m-%dT%H-%M-%S}", occurred_at=now)
    journal = MemoryJournal()
    journal.write(event.key, Asked(notification=event))
    notes: list[str] = []
    channels = channels_for(settings, patience=patience, warn=notes.append)
    courier = Courier(journal, channels, lambda moment: Writer.for_settings(settings, moment), draw, warn=notes.append)
    outcome = courier.deliver(event.key, tuple(channels))
    for name in channels:
        if name in outcome.failures:
            failure = outcome.failures[name]
            yield Finding(name, "problem", str(failure), remedy_of(name, failure, settings, patience))
        else:
            sent = next(each for each in outcome.sent if each.channel == name)
            yield Finding(name, "ok", f"sent to {sent.address}" + (f": {sent.link}" if sent.link else ""))
    told = [str(error) for error in outcome.failures.values()]
    for note in dict.fromkeys(notes):
        if not any(each in note for each in told):
            yield Finding("Note", "note", note)
