"""An incident is one message: changes are edits, the all-clear is a silent reply and an edit of the first line."""

from __future__ import annotations

import datetime
from contextlib import suppress

import pytest

from metrics_platform.notifications import kinds
from metrics_platform.notifications.templates import render
from metrics_platform_tests.notifications.desk import (
    ALL_CLEAR,
    OPENING,
    UPDATE,
    Desk,
    Killed,
    charted_alert,
    digest_of,
    failed_runs,
)
from metrics_platform_tests.notifications.examples import EXAMPLES, writer
from metrics_platform_tests.telegram.faults import Fault


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _without_charts(key: str = OPENING) -> kinds.AnomalyOpened:
    plain = tuple(anomaly.model_copy(update={"history": None}) for anomaly in EXAMPLES[OPENING].anomalies)
    return EXAMPLES[OPENING].model_copy(update={"anomalies": plain, "key": key})


@pytest.fixture(params=["as a caption", "as a text", "as a text with a picture"])
def opening(request: pytest.FixtureRequest) -> kinds.AnomalyOpened:
    return {
        "as a caption": EXAMPLES[OPENING],
        "as a text": _without_charts(),
        "as a text with a picture": charted_alert(OPENING),
    }[request.param]


# --- the whole life of an incident -----------------------------------------------------------------------------------


def test_an_incident_is_one_message_and_its_all_clear_a_silent_reply(desk: Desk, opening: kinds.AnomalyOpened) -> None:
    desk.queue(opening, UPDATE, ALL_CLEAR)
    for key in (OPENING, UPDATE, ALL_CLEAR):
        desk.clock.now += 900
        outcome = desk.deliver(key)
        assert outcome.closed.outcome == "delivered"
    beside = {make().title for make in render(opening, writer()).charts}  # a picture of its own below a long text
    first, reply = [message for message in desk.seen if message.text and message.text not in beside]
    # The picture of the opening shows one metric, that of the update two.
    assert ("editMessageMedia" in [call.method for call in desk.api.calls]) == bool(first.photo)
    assert not first.silent
    assert reply.silent
    assert reply.reply_to == first.message_id
    assert reply.text.startswith("✅ RESOLVED")
    assert len(first.edits) == 2
    before, updated = first.edits
    assert _first_line(before.text).startswith("🔴 CRITICAL")
    assert "Likes" in _first_line(updated.text)
    assert _first_line(first.text).startswith("✅ RESOLVED")
    assert "Likes" in _first_line(first.text)
    # Its whole text says that it is over: the values are those of the alert, and there is nothing left to do.
    assert "Next" in updated.text and "Next" not in first.text
    assert "At the alert, 10:45–11:00" in first.text


def test_with_something_still_open_the_first_line_stays(desk: Desk) -> None:
    partly = EXAMPLES[ALL_CLEAR].model_copy(update={"still_open": ("likes",), "key": "partly"})
    desk.queue(OPENING, partly)
    desk.deliver(OPENING)
    desk.deliver("partly")
    assert desk.texts[0].startswith("🔴")
    assert desk.seen[1].reply_to == desk.seen[0].message_id


def test_the_reminder_of_something_critical_replies_and_rings(desk: Desk) -> None:
    desk.queue(OPENING, "anomaly-A7K2Q-reminder-1")
    desk.deliver(OPENING)
    desk.deliver("anomaly-A7K2Q-reminder-1")
    assert (desk.seen[1].silent, desk.seen[1].reply_to) == (False, desk.seen[0].message_id)


# --- where the opening is not as it should be ------------------------------------------------------------------------


def test_an_opening_that_went_in_a_digest_is_replied_to_there_and_the_digest_stays(desk: Desk) -> None:
    opening = _without_charts()
    events = [opening, *failed_runs(6)]
    desk.queue(*events, digest_of(events, severity="critical"), UPDATE, ALL_CLEAR)
    desk.deliver("digest-x")
    before = desk.texts[0]
    update, all_clear = desk.deliver(UPDATE), desk.deliver(ALL_CLEAR)
    assert update.closed.outcome == "nothing_to_do"
    assert all_clear.closed is not None
    assert desk.seen[1].reply_to == desk.seen[0].message_id
    assert desk.texts[0] == before


def test_an_all_clear_in_a_digest_still_changes_the_first_line_of_its_opening(desk: Desk) -> None:
    desk.queue(OPENING)
    desk.deliver(OPENING)
    events = [EXAMPLES[ALL_CLEAR], *failed_runs(6)]
    desk.queue(*events, digest_of(events))
    desk.deliver("digest-x")
    assert desk.texts[0].startswith("✅ RESOLVED")
    assert len(desk.seen) == 2


def test_an_opening_deleted_in_the_chat_costs_nothing(desk: Desk) -> None:
    desk.queue(OPENING, UPDATE, ALL_CLEAR)
    desk.deliver(OPENING)
    del desk.api.chat(desk.chat).messages[desk.seen[0].message_id]
    update, all_clear = desk.deliver(UPDATE), desk.deliver(ALL_CLEAR)
    assert update.closed.outcome == "nothing_to_do"
    assert all_clear.closed.outcome == "delivered"
    (message,) = desk.seen
    assert message.reply_to is None


def test_an_all_clear_of_an_unknown_incident_costs_nothing(desk: Desk) -> None:
    desk.queue(ALL_CLEAR, UPDATE)
    assert desk.deliver(ALL_CLEAR).closed is not None
    assert desk.deliver(UPDATE).closed is not None
    assert len(desk.seen) == 1


# --- in another order ------------------------------------------------------------------------------------------------


def test_an_opening_after_its_all_clear_says_that_it_is_over_and_makes_no_sound(desk: Desk) -> None:
    desk.queue(OPENING, UPDATE, ALL_CLEAR)
    desk.deliver(UPDATE)
    desk.deliver(ALL_CLEAR)
    desk.deliver(OPENING)
    all_clear, opening = desk.seen
    assert all_clear.text.startswith("✅ RESOLVED")
    assert _first_line(opening.text).startswith("✅ RESOLVED")
    assert "Likes" in _first_line(opening.text)
    assert opening.silent


def test_an_opening_sent_after_its_update_includes_it_and_rings(desk: Desk) -> None:
    desk.queue(OPENING, UPDATE)
    desk.deliver(UPDATE)
    desk.deliver(OPENING)
    (message,) = desk.seen
    assert "Likes" in _first_line(message.text)
    assert not message.silent
    assert message.edits == []


def test_an_update_after_the_all_clear_does_not_open_it_again(desk: Desk) -> None:
    desk.queue(OPENING, UPDATE, ALL_CLEAR)
    desk.deliver(OPENING)
    desk.deliver(ALL_CLEAR)
    outcome = desk.deliver(UPDATE)
    assert outcome.closed.outcome == "nothing_to_do"
    assert desk.texts[0].startswith("✅")


def test_an_older_update_does_not_undo_a_newer_one(desk: Desk) -> None:
    older = EXAMPLES[UPDATE]
    newest = older.model_copy(
        update={
            "key": "newer",
            "occurred_at": older.occurred_at + datetime.timedelta(minutes=15),
            "anomalies": older.anomalies[:1],
        }
    )
    desk.queue(OPENING, older, newest)
    desk.deliver(OPENING)
    desk.deliver("newer")
    assert desk.deliver(UPDATE).closed is not None
    assert "Likes" not in _first_line(desk.texts[0])


# --- faults ----------------------------------------------------------------------------------------------------------


def test_a_failed_edit_is_tried_again_and_the_all_clear_is_not_doubled(desk: Desk) -> None:
    desk.queue(OPENING, ALL_CLEAR)
    desk.deliver(OPENING)
    desk.api.faults.add(Fault.server_error(), method="editMessageCaption", times=4)
    outcome = desk.deliver(ALL_CLEAR)
    assert outcome.closed is None
    assert outcome.failures["telegram"].reason == "unreachable"
    assert len(desk.seen) == 2
    assert desk.deliver(ALL_CLEAR).closed is not None
    assert len(desk.seen) == 2
    assert desk.texts[0].startswith("✅")


def test_an_edit_that_is_refused_costs_nothing(desk: Desk) -> None:
    desk.queue(OPENING, ALL_CLEAR)
    desk.deliver(OPENING)
    desk.api.faults.add(Fault.refusal(403, "Forbidden: no edits today"), method="editMessageCaption")
    assert desk.deliver(ALL_CLEAR).closed is not None
    assert any("marked as resolved" in warning for warning in desk.warnings)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(1, 7))
def test_an_all_clear_killed_anywhere_ends_with_the_first_line_changed(desk: Desk, number: int, after: bool) -> None:
    desk.queue(OPENING, ALL_CLEAR)
    desk.deliver(OPENING)
    desk.storage.die_at(number, after=after)
    with suppress(Killed):
        desk.deliver(ALL_CLEAR)
    desk.storage.writes_left = None
    last = desk.storage.written[-1].entry.entry
    desk.deliver(ALL_CLEAR)
    assert desk.texts[0].startswith("✅")
    assert len(desk.seen) == (3 if last == "sending" and number == 3 else 2)
    assert desk.entries(ALL_CLEAR, "closed")
