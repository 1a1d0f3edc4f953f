"""A delivery that is killed, or whose answers are lost: alerts end whole, with at most the unknown step twice; reports
are never doubled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from metrics_platform.notifications.kinds import Event
from metrics_platform_tests.notifications.desk import (
    FAILED,
    REPORT,
    Desk,
    Killed,
    charted_alert,
    digest_of,
    failed_runs,
    running_desk,
)
from metrics_platform_tests.notifications.examples import EXAMPLES
from metrics_platform_tests.telegram.faults import Fault
from metrics_platform_tests.telegram.state import Message

ALERT = charted_alert()
# Kept apart by the journal's writes: so many there are in an undisturbed delivery of the long alert and the report.
MOST_WRITES = 10
# The process before and after the write, and the storage, which raises an ordinary error.
DEATHS = [(False, Killed), (True, Killed), (False, OSError)]


@pytest.fixture
def desk() -> Iterator[Desk]:
    with running_desk() as found:
        found.wordy = True
        yield found


def _what(message: Message) -> tuple[str, str]:
    return message.kind, message.text


def _undisturbed(event: Event) -> list[tuple[str, str]]:
    with running_desk() as desk:
        desk.wordy = True
        desk.ask(event)
        desk.deliver(event.key)
        return [_what(message) for message in desk.seen]


@pytest.fixture(scope="module")
def whole_alert() -> list[tuple[str, str]]:
    return _undisturbed(ALERT)


@pytest.fixture(scope="module")
def whole_report() -> list[tuple[str, str]]:
    return _undisturbed(EXAMPLES[REPORT])


def _deliver_until_closed(desk: Desk, key: str, tries: int = 5, **how: Any) -> None:
    for _ in range(tries):
        desk.clock.now += 20
        if desk.deliver(key, **how).closed:
            return
    raise AssertionError(f"{key} was never closed")


# --- killed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("after", "error"), DEATHS)
@pytest.mark.parametrize("number", range(1, MOST_WRITES + 1))
def test_an_alert_killed_anywhere_ends_whole_with_at_most_the_unknown_step_twice(
    desk: Desk, whole_alert: list[tuple[str, str]], number: int, after: bool, error: type[BaseException]
) -> None:
    desk.ask(ALERT)
    desk.journal.die_at(number, after=after, error=error)
    died = True
    try:
        desk.deliver(ALERT.key)
        died = False
    except error:
        pass
    desk.journal.live()
    log = [entry.entry for _, entry in desk.journal.log]
    _deliver_until_closed(desk, ALERT.key)
    seen = [_what(message) for message in desk.seen]
    doubled = list(seen)
    for each in whole_alert:
        assert each in doubled
        doubled.remove(each)
    album = len([what for what in whole_alert if what[0] == "album"])
    assert len(doubled) in {0, 1, album}
    if doubled:  # only what was begun and not marked
        assert died
        assert log[-1] == "sending"
    assert seen[0] == whole_alert[0]


@pytest.mark.parametrize(("after", "error"), DEATHS)
@pytest.mark.parametrize("number", range(1, MOST_WRITES + 1))
def test_a_report_killed_anywhere_is_never_doubled(
    desk: Desk, whole_report: list[tuple[str, str]], number: int, after: bool, error: type[BaseException]
) -> None:
    desk.ask(REPORT)
    desk.journal.die_at(number, after=after, error=error)
    with suppress(error):
        desk.deliver(REPORT)
    desk.journal.live()
    log = [entry.entry for _, entry in desk.journal.log]
    _deliver_until_closed(desk, REPORT)
    seen = [_what(message) for message in desk.seen]
    assert seen == whole_report[: len(seen)]
    (closed,) = desk.entries(REPORT, "closed")
    if log[-1] == "sending":
        assert closed.outcome == "unknown"
        assert "ask for it again" in closed.text
    else:
        assert closed.outcome == "delivered"
        assert seen == whole_report


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(1, 19))
def test_a_digest_killed_anywhere_closes_all_it_tells_and_nothing_is_told_once_more(
    desk: Desk, number: int, after: bool
) -> None:
    desk.wordy = False
    runs = failed_runs(6)
    desk.ask(*runs, digest_of(runs))
    desk.journal.die_at(number, after=after)
    with pytest.raises(Killed):
        for _ in range(9):
            desk.deliver("digest-x")
            desk.ask("test-1")  # where the digest took fewer writes
    desk.journal.live()
    _deliver_until_closed(desk, "digest-x")
    for run in runs:
        assert desk.entries(run.key, "closed"), run.key
        assert desk.entries(run.key, "sent")[0].within == "digest-x"
        desk.deliver(run.key)
    assert len(desk.seen) <= 2
    assert all("DIGEST" in text for text in desk.texts)


@pytest.mark.parametrize("number", range(1, 6))
def test_a_kill_while_the_fallback_is_told_doubles_it_there_at_most_once(desk: Desk, number: int) -> None:
    desk.ask(FAILED)
    desk.api.down()
    desk.journal.die_at(number)
    with pytest.raises(Killed):
        for _ in range(3):
            desk.deliver(FAILED, fallback="slack", fallback_due=True)
    desk.journal.live()
    for _ in range(3):
        desk.deliver(FAILED, fallback="slack", fallback_due=True)
    texts = desk.slack_texts
    assert len(set(texts)) <= len(texts) <= len(set(texts)) + len(set(texts))
    assert [entry for entry in desk.entries(FAILED, "sent") if entry.channel == "slack"]


# --- answers that are lost -------------------------------------------------------------------------------------------


LOST = {
    "dropped": lambda: Fault.dropped(processed=True),
    "hanging": lambda: Fault.hanging(processed=True),
    "not JSON": lambda: Fault.not_json().after_processing(),
}


@pytest.mark.parametrize("name", [*LOST])
def test_an_alert_whose_answer_is_lost_is_sent_again(desk: Desk, name: str) -> None:
    desk.wordy = False
    desk.ask(FAILED)
    if name == "hanging":
        desk.patient_for = 0.7
    desk.api.faults.add(LOST[name](), method="sendMessage")
    _deliver_until_closed(desk, FAILED)
    assert len(desk.seen) == 2
    assert len(set(desk.texts)) == 1


@pytest.mark.parametrize("name", [*LOST])
def test_a_report_whose_answer_is_lost_is_not_sent_again_and_a_person_is_told_what_to_do(desk: Desk, name: str) -> None:
    desk.wordy = False
    desk.ask(REPORT)
    if name == "hanging":
        desk.patient_for = 0.7
    desk.api.faults.add(LOST[name](), method="sendMessage")
    outcome = desk.deliver(REPORT, fallback="slack", fallback_due=True)
    assert outcome.closed is not None
    assert outcome.closed.outcome == "unknown"
    assert "telegram" in outcome.closed.text
    assert "look into the chat" in outcome.closed.text
    assert outcome.failures["telegram"].reason == "unknown"
    for _ in range(3):
        assert desk.deliver(REPORT, fallback="slack", fallback_due=True).closed == outcome.closed
    assert len(desk.seen) == 1
    assert desk.slack.payloads == []  # it may be in the chat: it is not told elsewhere as well


def test_a_killed_report_is_closed_even_while_the_first_channel_is_left_alone(desk: Desk) -> None:
    desk.ask(REPORT)
    desk.journal.die_at(1, after=True)
    with pytest.raises(Killed):
        desk.deliver(REPORT)
    desk.journal.live()
    outcome = desk.deliver(REPORT, fallback="slack", fallback_due=True, only_fallback=True)
    assert outcome.closed is not None
    assert outcome.closed.outcome == "unknown"
    assert (desk.api.calls, desk.slack.payloads) == ([], [])


def test_a_report_that_cannot_leave_is_sent_later(desk: Desk, whole_report: list[tuple[str, str]]) -> None:
    desk.ask(REPORT)
    desk.api.down()
    assert desk.deliver(REPORT).closed is None
    desk.api.up()
    assert desk.deliver(REPORT).closed is not None
    assert [_what(message) for message in desk.seen] == whole_report


def test_a_report_lost_in_a_copy_is_unknown_there_and_not_doubled_anywhere(desk: Desk) -> None:
    desk.wordy = False
    desk.ask(REPORT)
    desk.slack.answers = ["drop"]
    desk.api.down()
    assert desk.deliver(REPORT, ("telegram", "slack")).closed is None
    desk.api.up()
    outcome = desk.deliver(REPORT, ("telegram", "slack"))
    assert outcome.closed is not None
    assert (outcome.closed.outcome, outcome.closed.text.partition(":")[0]) == ("unknown", "slack")
    assert len(desk.slack.payloads) == 1
    assert desk.texts[0].startswith("📊")


# --- what is written about failures ----------------------------------------------------------------------------------


def test_failures_are_counted_with_their_moment_and_the_wait_that_was_asked_for(desk: Desk) -> None:
    desk.wordy = False
    desk.ask(FAILED)
    desk.api.faults.add(Fault.too_many_requests(300), times=3)
    for _ in range(3):
        desk.clock.now += 400
        assert desk.deliver(FAILED).failures["telegram"].retry_after == 300
    found = desk.entries(FAILED, "failed")
    assert [(entry.number, entry.retry_after) for entry in found] == [(1, 300), (2, 300), (3, 300)]
    assert found[0].at < found[1].at < found[2].at
    assert all(api_secret not in entry.text for entry in found for api_secret in (desk.api.token,))


def test_a_step_that_got_through_ends_the_row_of_failures(desk: Desk) -> None:
    desk.ask(ALERT)
    desk.api.faults.add(Fault.server_error(), times=8)
    desk.deliver(ALERT.key)
    desk.deliver(ALERT.key)
    desk.api.faults.add(Fault.server_error(), method="sendPhoto", times=4)
    desk.deliver(ALERT.key)
    assert [entry.number for entry in desk.entries(ALERT.key, "failed")] == [1, 2, 1]
    assert desk.deliver(ALERT.key).closed is not None
