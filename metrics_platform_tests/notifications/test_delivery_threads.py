"""An incident is one message: what changes is an edit, the all-clear a silent reply and an edit of the first line. And
three hours without Telegram, from the asking to the chat."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import suppress

import pytest

from metrics_platform.notifications import kinds
from metrics_platform.notifications.journal import Closed, asked
from metrics_platform.notifications.kinds import AnomalyResolved, AnomalyUpdated
from metrics_platform.notifications.planning import BURST, Situation, digest_key, plan
from metrics_platform.notifications.routing import waiting_for
from metrics_platform.notifications.templates import render
from metrics_platform_tests.notifications.desk import (
    ALL_CLEAR,
    FAILED,
    OPENING,
    REPORT,
    START,
    UPDATE,
    Desk,
    Killed,
    charted_alert,
    digest_of,
    failed_runs,
    running_desk,
)
from metrics_platform_tests.notifications.examples import EXAMPLES, writer
from metrics_platform_tests.notifications.simulation import settings_of
from metrics_platform_tests.telegram.faults import Fault
from metrics_platform_tests.telegram.state import Standing


@pytest.fixture
def desk() -> Iterator[Desk]:
    with running_desk() as found:
        yield found


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _without_charts(key: str = OPENING) -> kinds.AnomalyOpened:
    opening = EXAMPLES[OPENING]
    assert isinstance(opening, kinds.AnomalyOpened)
    plain = tuple(anomaly.model_copy(update={"history": None}) for anomaly in opening.anomalies)
    return opening.model_copy(update={"anomalies": plain, "key": key})


@pytest.fixture(params=["as a caption", "as a text", "as a text with a picture"])
def opening(request: pytest.FixtureRequest) -> kinds.AnomalyOpened:
    found = {
        "as a caption": EXAMPLES[OPENING],
        "as a text": _without_charts(),
        "as a text with a picture": charted_alert(OPENING),
    }[request.param]
    assert isinstance(found, kinds.AnomalyOpened)
    return found


# --- the whole life of an incident -----------------------------------------------------------------------------------


def test_an_incident_is_one_message_and_its_all_clear_replies_to_it_silently(
    desk: Desk, opening: kinds.AnomalyOpened
) -> None:
    desk.ask(opening, UPDATE, ALL_CLEAR)
    for key in (OPENING, UPDATE, ALL_CLEAR):
        desk.clock.now += 900
        outcome = desk.deliver(key)
        assert outcome.closed is not None
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


def test_the_first_line_says_how_long_it_was_open_from_the_opening_on(desk: Desk) -> None:
    desk.ask(OPENING, UPDATE, ALL_CLEAR)
    for key in (OPENING, UPDATE, ALL_CLEAR):
        desk.deliver(key)
    lasted = EXAMPLES[ALL_CLEAR].occurred_at - EXAMPLES[OPENING].occurred_at
    assert lasted == datetime.timedelta(hours=1)
    assert "1\N{NO-BREAK SPACE}h" in _first_line(desk.texts[0])


def test_with_something_still_open_the_first_line_stays(desk: Desk) -> None:
    partly = EXAMPLES[ALL_CLEAR].model_copy(update={"still_open": ("likes",), "key": "partly"})
    desk.ask(OPENING, partly)
    desk.deliver(OPENING)
    desk.deliver("partly")
    assert desk.texts[0].startswith("🔴")
    assert desk.seen[1].reply_to == desk.seen[0].message_id


def test_the_reminder_of_something_critical_replies_and_rings(desk: Desk) -> None:
    desk.ask(OPENING, "anomaly-A7K2Q-reminder-1")
    desk.deliver(OPENING)
    desk.deliver("anomaly-A7K2Q-reminder-1")
    assert (desk.seen[1].silent, desk.seen[1].reply_to) == (False, desk.seen[0].message_id)


# --- where the opening is not as it should be ------------------------------------------------------------------------


def test_an_opening_that_went_in_a_digest_is_replied_to_there_and_the_digest_stays(desk: Desk) -> None:
    opening = _without_charts()
    events = [opening, *failed_runs(6)]
    desk.ask(*events, digest_of(events, severity="critical"), UPDATE, ALL_CLEAR)
    desk.deliver("digest-x")
    before = desk.texts[0]
    update, all_clear = desk.deliver(UPDATE), desk.deliver(ALL_CLEAR)
    assert update.closed is not None
    assert update.closed.outcome == "nothing_to_do"
    assert all_clear.closed is not None
    assert desk.seen[1].reply_to == desk.seen[0].message_id
    assert desk.texts[0] == before


def test_an_all_clear_that_went_in_a_digest_still_changes_the_first_line_of_its_opening(desk: Desk) -> None:
    desk.ask(OPENING)
    desk.deliver(OPENING)
    events = [EXAMPLES[ALL_CLEAR], *failed_runs(6)]
    desk.ask(*events, digest_of(events))
    desk.deliver("digest-x")
    assert desk.texts[0].startswith("✅ RESOLVED")
    assert len(desk.seen) == 2


def test_an_opening_over_the_fallback_only_is_answered_in_telegram_without_a_reply(desk: Desk) -> None:
    desk.ask(OPENING, ALL_CLEAR)
    desk.api.chat(desk.chat).standing = Standing.KICKED
    desk.deliver(OPENING, fallback="slack")
    desk.journal.write(OPENING, Closed(outcome="given_up", text="too old"))
    desk.api.chat(desk.chat).standing = Standing.WELCOME
    outcome = desk.deliver(ALL_CLEAR, fallback="slack")
    assert outcome.closed is not None
    (message,) = desk.seen
    assert message.reply_to is None
    assert message.text.startswith("✅ RESOLVED")


def test_an_opening_deleted_in_the_chat_costs_nothing(desk: Desk) -> None:
    desk.ask(OPENING, UPDATE, ALL_CLEAR)
    desk.deliver(OPENING)
    del desk.api.chat(desk.chat).messages[desk.seen[0].message_id]
    update, all_clear = desk.deliver(UPDATE), desk.deliver(ALL_CLEAR)
    assert update.closed is not None
    assert update.closed.outcome == "nothing_to_do"
    assert all_clear.closed is not None
    assert all_clear.closed.outcome == "delivered"
    (message,) = desk.seen
    assert message.reply_to is None


def test_an_opening_that_never_went_out_costs_nothing(desk: Desk) -> None:
    desk.ask(OPENING, ALL_CLEAR)
    desk.journal.write(OPENING, Closed(outcome="given_up", text="too old"))
    assert desk.deliver(ALL_CLEAR).closed is not None
    assert len(desk.seen) == 1


def test_an_all_clear_of_what_nobody_knows_costs_nothing(desk: Desk) -> None:
    desk.ask(ALL_CLEAR, UPDATE)
    assert desk.deliver(ALL_CLEAR).closed is not None
    assert desk.deliver(UPDATE).closed is not None
    assert len(desk.seen) == 1


# --- in another order ------------------------------------------------------------------------------------------------


def test_an_opening_that_comes_after_its_all_clear_says_that_it_is_over_and_makes_no_sound(desk: Desk) -> None:
    desk.ask(OPENING, UPDATE, ALL_CLEAR)
    desk.deliver(UPDATE)
    desk.deliver(ALL_CLEAR)
    desk.deliver(OPENING)
    all_clear, opening = desk.seen
    assert all_clear.text.startswith("✅ RESOLVED")
    assert _first_line(opening.text).startswith("✅ RESOLVED")
    assert "Likes" in _first_line(opening.text)
    assert opening.silent


def test_an_opening_that_comes_after_its_update_tells_the_update_and_rings(desk: Desk) -> None:
    desk.ask(OPENING, UPDATE)
    desk.deliver(UPDATE)
    desk.deliver(OPENING)
    (message,) = desk.seen
    assert "Likes" in _first_line(message.text)
    assert not message.silent
    assert message.edits == []


def test_an_update_after_the_all_clear_does_not_open_it_again(desk: Desk) -> None:
    desk.ask(OPENING, UPDATE, ALL_CLEAR)
    desk.deliver(OPENING)
    desk.deliver(ALL_CLEAR)
    outcome = desk.deliver(UPDATE)
    assert outcome.closed is not None
    assert outcome.closed.outcome == "nothing_to_do"
    assert desk.texts[0].startswith("✅")


def test_an_older_update_does_not_undo_a_newer_one(desk: Desk) -> None:
    older = EXAMPLES[UPDATE]
    assert isinstance(older, AnomalyUpdated)
    newest = older.model_copy(
        update={
            "key": "newer",
            "occurred_at": older.occurred_at + datetime.timedelta(minutes=15),
            "anomalies": older.anomalies[:1],
        }
    )
    desk.ask(OPENING, older, newest)
    desk.deliver(OPENING)
    desk.deliver("newer")
    assert desk.deliver(UPDATE).closed is not None
    assert "Likes" not in _first_line(desk.texts[0])


# --- faults ----------------------------------------------------------------------------------------------------------


def test_an_edit_that_does_not_get_through_is_tried_again_and_the_all_clear_is_not_doubled(desk: Desk) -> None:
    desk.ask(OPENING, ALL_CLEAR)
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
    desk.ask(OPENING, ALL_CLEAR)
    desk.deliver(OPENING)
    desk.api.faults.add(Fault.refusal(403, "Forbidden: no edits today"), method="editMessageCaption")
    assert desk.deliver(ALL_CLEAR).closed is not None
    assert any("marked as over" in warning for warning in desk.warnings)


def test_an_update_that_does_not_get_through_is_tried_again(desk: Desk) -> None:
    desk.ask(OPENING, UPDATE)
    desk.deliver(OPENING)
    desk.api.faults.add(Fault.server_error(), method="editMessageMedia", times=4)
    assert desk.deliver(UPDATE).closed is None
    assert desk.entries(UPDATE, "failed")[0].number == 1
    assert desk.deliver(UPDATE, only_fallback=True).closed is None
    assert desk.deliver(UPDATE).closed is not None
    assert "Likes" in _first_line(desk.texts[0])


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(1, 6))
def test_an_all_clear_killed_anywhere_ends_with_the_first_line_changed(desk: Desk, number: int, after: bool) -> None:
    desk.ask(OPENING, ALL_CLEAR)
    desk.deliver(OPENING)
    desk.journal.die_at(number, after=after)
    with suppress(Killed):
        desk.deliver(ALL_CLEAR)
    desk.journal.live()
    log = [entry.entry for _, entry in desk.journal.log]
    desk.deliver(ALL_CLEAR)
    assert desk.texts[0].startswith("✅")
    assert len(desk.seen) == (3 if log[-1] == "sending" and number == 2 else 2)
    assert desk.entries(ALL_CLEAR, "closed")


# --- three hours -----------------------------------------------------------------------------------------------------


def _tick(desk: Desk, keys: list[str], ran: dict[str, list[datetime.datetime]]) -> bool:
    """The sensor's part, with the real plan, and the run's, with the real courier; whether one ran."""
    settings = settings_of()
    waiting = [
        waiting_for(
            asked(desk.entries(key)),  # type: ignore[arg-type]
            desk.entries(key),
            settings,
            asked_at=asked(desk.entries(key)).occurred_at,  # type: ignore[union-attr]
            tries=len(ran[key]),
            last_try_at=ran[key][-1] if ran[key] else None,
        )
        for key in keys
        if not desk.entries(key, "closed")
    ]
    situation = Situation(
        now=desk.moment,
        sending=False,
        first_channel="telegram",
        has_fallback=False,
        fallback_after=settings.fallback_after,
        max_age=settings.message_max_age,
        reached_at=desk.reached_at,
    )
    decision = plan(waiting, situation)
    assert decision.give_up == ()
    if decision.digest:
        parts = [asked(desk.entries(key)) for key in decision.digest]
        parts.sort(key=lambda part: part.occurred_at)
        digest = digest_of(parts, digest_key(decision.digest))
        desk.ask(digest)
        keys.append(digest.key)
        ran[digest.key] = []
    if decision.send:
        outcome = desk.deliver(decision.send)
        desk.clock.now += 5  # a run takes its time to start
        ran[decision.send].append(desk.moment)
        if outcome.sent and not outcome.failures:
            desk.reached_at = desk.moment
    return bool(decision.send)


def _three_hours_without_telegram(desk: Desk, events: list[kinds.Event]) -> int:
    """Each is asked for when it happens; back for ten minutes at the end. How often Telegram was tried in vain."""
    keys: list[str] = []
    ran: dict[str, list[datetime.datetime]] = {event.key: [] for event in events}
    tries = 0
    desk.api.down()
    while desk.clock.now < 3 * 3600:
        for event in events:
            if event.occurred_at <= desk.moment and event.key not in keys:
                desk.ask(event)
                keys.append(event.key)
        tries += _tick(desk, keys, ran)
        desk.clock.now += 5
    desk.api.up()
    while desk.clock.now < 3 * 3600 + 600:
        _tick(desk, keys, ran)
        desk.clock.now += 5
    assert all(desk.entries(key, "closed") for key in keys)
    assert {entry.outcome for key in keys for entry in desk.entries(key, "closed")} == {"delivered"}
    return tries


def _at(minutes: float, key: str) -> kinds.Event:
    return EXAMPLES[key].model_copy(update={"occurred_at": START + datetime.timedelta(minutes=minutes)})


def test_three_hours_without_telegram_then_each_arrives_once_marked_as_late_and_in_order(desk: Desk) -> None:
    events = [_at(1, OPENING), _at(20, FAILED), _at(50, ALL_CLEAR), _at(75, REPORT)]
    tries = _three_hours_without_telegram(desk, events)
    assert 20 <= tries <= 110
    told = [message for message in desk.seen if message.text and message.kind != "album"]
    assert len(told) == 4
    assert all("Delayed" in message.text for message in told)
    alert, all_clear = (next(each for each in told if word in each.text) for word in ("Views", "back to normal"))
    assert alert.message_id < all_clear.message_id
    assert all_clear.reply_to == alert.message_id
    assert alert.text.startswith("✅ RESOLVED")
    assert sum("FAILED" in message.text for message in told) == 1
    assert sum("Daily report" in message.text for message in told) == 1
    positions = [next(at for at, each in enumerate(told) if word in each.text) for word in ("back to normal", "Daily")]
    assert positions == sorted(positions)


def test_a_burst_in_three_hours_without_telegram_is_one_message_and_the_report_its_own(desk: Desk) -> None:
    runs = [
        run.model_copy(update={"occurred_at": START + datetime.timedelta(minutes=12 * number)})
        for number, run in enumerate(failed_runs(12))
    ]
    _three_hours_without_telegram(desk, [*runs, _at(75, REPORT), _at(90, OPENING)])
    texts = [text for text in desk.texts if "production" in text or "DIGEST" in text]
    for run in runs:
        assert sum(run.job in text for text in texts) == 1, run.key
    assert sum("Daily report" in text for text in texts) == 1
    assert sum("Views −41%" in text for text in texts) == 1
    assert any("DIGEST" in text and "Delayed" in text for text in texts)
    assert len(texts) <= 3 + BURST


def test_the_examples_here_are_of_one_incident() -> None:
    all_clear = EXAMPLES[ALL_CLEAR]
    assert isinstance(all_clear, AnomalyResolved)
    assert all_clear.thread == OPENING == EXAMPLES[UPDATE].thread
