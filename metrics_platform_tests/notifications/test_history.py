"""The journal: what its entries say about what is sent, what is unknown and what failed."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from pydantic import ValidationError

from metrics_platform.notifications.history import (
    Closed,
    Edited,
    Entry,
    Failed,
    History,
    Queued,
    Reopened,
    Sending,
    Sent,
    Started,
    Stored,
    read_entry,
)
from metrics_platform_tests.notifications.desk import FAILED, START
from metrics_platform_tests.notifications.examples import EXAMPLES

LATER = START + datetime.timedelta(hours=1)
QUEUED = Queued(notification=EXAMPLES[FAILED])  # type: ignore[arg-type]
STARTED = Started(channel="telegram")


def sending(step: int = 0, channel: str = "telegram", at: datetime.datetime = START) -> Sending:
    return Sending(channel=channel, step=step, composed_at=at)


def sent(step: int = 0, steps: int = 1, channel: str = "telegram", **more: Any) -> Sent:
    return Sent(channel=channel, step=step, steps=steps, **more)


def failed(reason: Any = "unreachable", channel: str = "telegram", **more: Any) -> Failed:
    return Failed(channel=channel, reason=reason, text="no", **more)


def history(*entries: Entry) -> History:
    """Each entry was stored a second after the one before it."""
    return History("a", [Stored(START.timestamp() + number, "a", entry) for number, entry in enumerate(entries)])


ENTRIES: list[Entry] = [
    QUEUED,
    STARTED,
    sending(),
    sent(
        message_ids=("7",), address="-100/5", carrier="caption", link="https://t.me/c/1/7", notes=("x",), within="d-1"
    ),
    Edited(channel="telegram", by="update-1"),
    failed(retry_after=3.5),
    Closed(outcome="given_up", text="too old"),
    Reopened(),
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.entry)
def test_an_entry_is_the_same_after_it_was_stored(entry: Entry) -> None:
    assert read_entry(json.loads(json.dumps(entry.model_dump(mode="json")))) == entry


def test_entries_of_earlier_versions_are_still_read() -> None:
    asked = {"entry": "asked", "notification": EXAMPLES[FAILED].model_dump(mode="json")}
    counted = {
        "entry": "failed",
        "channel": "telegram",
        "reason": "unreachable",
        "text": "no",
        "retry_after": None,
        "at": "2026-11-21T08:00:00Z",
        "number": 4,
    }
    found = history(read_entry(asked), read_entry(counted), read_entry(counted))
    assert found.event == EXAMPLES[FAILED]
    assert found.failures["telegram"].entry == failed()
    assert len(found.failures["telegram"].times) == 2


@pytest.mark.parametrize("stored", [{}, {"entry": "dreamt"}, {"entry": "sent", "channel": "x"}])
def test_what_is_not_an_entry_is_refused(stored: Any) -> None:
    with pytest.raises(ValidationError):
        read_entry(stored)


def test_a_notification_queued_again_is_still_the_first() -> None:
    other = Queued(notification=EXAMPLES[FAILED].model_copy(update={"job": "other"}))  # type: ignore[arg-type]
    assert history(QUEUED, other).event == EXAMPLES[FAILED]
    assert history(sending()).event is None
    assert history(QUEUED, other).queued_at == START
