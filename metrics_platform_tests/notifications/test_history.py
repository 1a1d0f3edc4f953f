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
    Journal,
    Position,
    Queued,
    Reopened,
    Sending,
    Sent,
    Started,
    Stored,
    read_entry,
)
from metrics_platform_tests.notifications.desk import FAILED, START, MortalStorage
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


def test_once_reopened_only_the_notification_and_what_came_after_counts() -> None:
    after = [sending(at=LATER), sent(message_ids=("8",))]
    entries = [QUEUED, sending(), sent(), Closed(outcome="delivered"), Reopened(), *after]
    found = history(*entries)
    assert found.entries == [QUEUED, *after]
    assert found.closed is None
    assert found.queued_at == START + datetime.timedelta(seconds=4)
    assert history(*entries, Reopened()).entries == [QUEUED]


def test_steps_are_counted_per_channel() -> None:
    entries = [sent(0, 2), sent(0, 1, "slack"), sent(1, 2)]
    found = history(*entries)
    assert list(found.steps("telegram")) == [0, 1]
    assert [found.is_sent(name) for name in ("telegram", "slack", "email")] == [True, True, False]
    assert not history(*entries[:2]).is_sent("telegram")


UNKNOWN: list[tuple[str, list[Entry], bool]] = [
    ("never tried", [QUEUED, STARTED], False),
    ("begun", [sending()], True),
    ("done", [sending(), sent()], False),
    ("the second step begun", [sending(), sent(0, 2), sending(1)], True),
    ("never left", [sending(), failed("unreachable")], False),
    ("the answer lost", [sending(), failed("unknown")], True),
    ("tried again and never left", [sending(), failed("unknown"), sending(), failed("unreachable")], False),
    ("begun over another channel", [sending(channel="slack")], False),
]


@pytest.mark.parametrize(("entries", "expected"), [case[1:] for case in UNKNOWN], ids=[case[0] for case in UNKNOWN])
def test_the_outcome_of_a_step_is_unknown_without_an_answer(entries: list[Entry], expected: bool) -> None:
    assert history(*entries).outcome_unknown("telegram") is expected


def test_failures_count_until_something_was_sent() -> None:
    entries = [failed(), failed("unknown"), failed("refused", "slack")]
    found = history(*entries).failures
    assert {name: (failure.entry.reason, len(failure.times)) for name, failure in found.items()} == {
        "telegram": ("unknown", 2),
        "slack": ("refused", 1),
    }
    assert list(history(*entries, sent()).failures) == ["slack"]
    assert len(history(*entries, sent(), failed()).failures["telegram"].times) == 1


def test_attempts_without_a_result_are_crashes() -> None:
    assert history(QUEUED).crashes == 0
    assert history(QUEUED, STARTED, STARTED, sending()).crashes == 2
    assert history(QUEUED, STARTED, failed(), STARTED).crashes == 1
    assert history(QUEUED, STARTED, sending(), sent(0, 2)).crashes == 0
    assert history(QUEUED).tried_at is None
    assert history(QUEUED, STARTED, sending()).tried_at == START + datetime.timedelta(seconds=2)


def test_parts_are_split_as_in_the_message_of_which_a_part_was_sent() -> None:
    assert history(QUEUED, sending()).composed_at("telegram") is None
    later = history(sending(), failed(), sending(at=LATER), sent(0, 2), sending(1, at=LATER))
    assert later.composed_at("telegram") == LATER
    assert history(sending(), sending(channel="slack", at=LATER), sent()).composed_at("telegram") == START
    assert history(sending(), sent(channel="slack")).composed_at("telegram") is None
    assert history(sent(within="digest-1")).composed_at("telegram") is None  # sent by a digest, not as a message


def test_a_journal_follows_messages_until_they_are_closed_also_from_a_position() -> None:
    seconds = [START.timestamp()]
    storage = MortalStorage(lambda: seconds[0])
    journal = Journal(storage, Position(read_until=START.timestamp()))
    journal.write("a", QUEUED)
    assert [each.key for each in journal.waiting()] == ["a"]
    seconds[0] += 3600
    storage.write("b", QUEUED)
    resumed = Journal(storage, Position.model_validate_json(journal.position.model_dump_json()))
    assert [each.key for each in resumed.waiting()] == ["a", "b"]
    resumed.write("a", sent())
    resumed.write("a", Closed(outcome="delivered"))
    assert [each.key for each in resumed.waiting()] == ["b"]
    assert resumed.reached == {"telegram": START + datetime.timedelta(hours=1)}
    assert resumed.history("a").closed is not None
    assert resumed.history("never").event is None
