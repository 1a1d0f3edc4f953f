"""The journal: what its entries say about what is out, what is in the dark and what failed."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from pydantic import ValidationError

from metrics_platform.notifications.journal import (
    Asked,
    Closed,
    Edited,
    Entry,
    Failed,
    MemoryJournal,
    Reopened,
    Sending,
    Sent,
    asked,
    closed,
    composed_at,
    current,
    failures,
    is_sent,
    left_open,
    read_entry,
    sent_steps,
)
from metrics_platform_tests.notifications.desk import FAILED, START
from metrics_platform_tests.notifications.examples import EXAMPLES

LATER = START + datetime.timedelta(hours=1)
ASKED = Asked(notification=EXAMPLES[FAILED])  # type: ignore[arg-type]


def sending(step: int = 0, channel: str = "telegram", at: datetime.datetime = START) -> Sending:
    return Sending(channel=channel, step=step, composed_at=at)


def sent(step: int = 0, steps: int = 1, channel: str = "telegram", **more: Any) -> Sent:
    return Sent(channel=channel, step=step, steps=steps, **more)


def failed(reason: Any = "unreachable", channel: str = "telegram", **more: Any) -> Failed:
    return Failed(channel=channel, reason=reason, text="no", **more)


ENTRIES: list[Entry] = [
    ASKED,
    sending(),
    sent(
        message_ids=("7",), address="-100/5", carrier="caption", link="https://t.me/c/1/7", notes=("x",), within="d-1"
    ),
    Edited(channel="telegram", by="update-1"),
    failed(retry_after=3.5, at=START, number=4),
    Closed(outcome="given_up", text="too old"),
    Reopened(),
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.entry)
def test_every_entry_is_the_same_after_it_was_stored_as_json(entry: Entry) -> None:
    assert read_entry(json.loads(json.dumps(entry.model_dump(mode="json")))) == entry


@pytest.mark.parametrize("event", EXAMPLES.values(), ids=lambda event: event.key)
def test_every_notification_is_the_same_after_it_was_asked_for(event: Any) -> None:
    stored = json.loads(json.dumps(Asked(notification=event).model_dump(mode="json")))
    found = read_entry(stored)
    assert isinstance(found, Asked)
    assert found.notification == event
    assert type(found.notification) is type(event)


def test_a_failure_stored_before_it_had_a_moment_is_still_read() -> None:
    stored = {"entry": "failed", "channel": "telegram", "reason": "unreachable", "text": "no", "retry_after": None}
    assert read_entry(stored) == failed()


@pytest.mark.parametrize(
    "stored", [{}, {"entry": "dreamt"}, {"entry": "sent", "channel": "x"}, {**sent().model_dump(), "colour": "red"}]
)
def test_what_is_no_entry_is_refused(stored: Any) -> None:
    with pytest.raises(ValidationError):
        read_entry(stored)


def test_what_is_asked_for_again_is_still_the_first() -> None:
    other = Asked(notification=EXAMPLES[FAILED].model_copy(update={"job": "other"}))  # type: ignore[arg-type]
    assert asked([ASKED, other]) == EXAMPLES[FAILED]
    assert asked([sending()]) is None


def test_reopened_only_what_was_asked_and_what_came_after_counts() -> None:
    after = [sending(at=LATER), sent(message_ids=("8",))]
    entries = [ASKED, sending(), sent(), Closed(outcome="delivered"), Reopened(), *after]
    assert current(entries) == [ASKED, *after]
    assert closed(current(entries)) is None
    assert current([*entries, Reopened()]) == [ASKED]
    assert current([ASKED, sending()]) == [ASKED, sending()]


def test_steps_are_counted_per_channel() -> None:
    entries = [sent(0, 2), sent(0, 1, "slack"), sent(1, 2)]
    assert list(sent_steps(entries, "telegram")) == [0, 1]
    assert is_sent(entries, "telegram")
    assert is_sent(entries, "slack")
    assert not is_sent(entries, "email")
    assert not is_sent(entries[:2], "telegram")


DARK: list[tuple[str, list[Entry], bool]] = [
    ("never tried", [ASKED], False),
    ("begun", [sending()], True),
    ("done", [sending(), sent()], False),
    ("the second step begun", [sending(), sent(0, 2), sending(1)], True),
    ("never left", [sending(), failed("unreachable")], False),
    ("the answer lost", [sending(), failed("unknown")], True),
    ("tried again and never left", [sending(), failed("unknown"), sending(), failed("unreachable")], False),
    ("begun over another channel", [sending(channel="slack")], False),
]


@pytest.mark.parametrize(("entries", "expected"), [case[1:] for case in DARK], ids=[case[0] for case in DARK])
def test_a_step_is_in_the_dark_where_nothing_is_known_of_its_end(entries: list[Entry], expected: bool) -> None:
    assert left_open(entries, "telegram") is expected


def test_failures_count_until_something_got_through() -> None:
    entries = [failed(number=1), failed("unknown", number=2), failed("refused", "slack")]
    assert failures(entries) == {"telegram": entries[1], "slack": entries[2]}
    assert failures([*entries, sent()]) == {"slack": entries[2]}
    assert failures([*entries, sent(), failed(number=1)])["telegram"].number == 1


def test_parts_are_cut_by_the_writing_of_which_a_part_is_out() -> None:
    assert composed_at([ASKED, sending()], "telegram") is None
    assert composed_at([sending(), failed(), sending(at=LATER), sent(0, 2), sending(1, at=LATER)], "telegram") == LATER
    assert composed_at([sending(), sending(channel="slack", at=LATER), sent()], "telegram") == START
    assert composed_at([sending(), sent(channel="slack")], "telegram") is None
    assert composed_at([sent(within="digest-1")], "telegram") is None  # told by a digest, never written by itself


def test_the_journal_in_memory_keeps_the_order_and_the_keys_apart() -> None:
    journal = MemoryJournal()
    journal.write("a", ASKED)
    journal.write("b", Reopened())
    journal.write("a", sending())
    assert journal.entries("a") == [ASKED, sending()]
    assert journal.entries("b") == []
    assert journal.entries("never") == []
