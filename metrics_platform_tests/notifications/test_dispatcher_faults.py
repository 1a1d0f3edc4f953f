"""A killed delivery, or one whose answers are lost: alerts arrive whole, with at most the unknown step twice. Reports
are never doubled."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest

from metrics_platform.notifications.kinds import Event
from metrics_platform_tests.notifications.delivery import (
    FAILED,
    REPORT,
    Delivery,
    Killed,
    charted_alert,
    digest_of,
    failed_runs,
    running_delivery,
)
from metrics_platform_tests.notifications.examples import EXAMPLES
from metrics_platform_tests.telegram.bot_api import Fault
from metrics_platform_tests.telegram.state import Message

ALERT = charted_alert()
# This many writes an undisturbed delivery of the long alert, or of the report, takes at most: `started`, then `sending`
# and `sent` of each step, then `closed`.
MOST_WRITES = 11
# The process is killed before each write. Killed after one, it differs from that only where the write was `sending`:
# the request has not left yet. The storage raises an ordinary error at a write of each kind.
DEATHS = [
    *((number, False, Killed) for number in range(1, MOST_WRITES + 1)),
    *((number, True, Killed) for number in range(2, MOST_WRITES, 2)),
    *((number, False, OSError) for number in (1, 2, 3, MOST_WRITES - 1)),
]


@pytest.fixture
def wordy(delivery: Delivery) -> Delivery:
    """Every text takes several messages."""
    delivery.wordy = True
    return delivery


def _what(message: Message) -> tuple[str, str]:
    return message.kind, message.text


def _undisturbed(event: Event) -> list[tuple[str, str]]:
    with running_delivery() as delivery:
        delivery.wordy = True
        delivery.queue(event)
        delivery.deliver(event.key)
        return [_what(message) for message in delivery.seen]


@pytest.fixture(scope="module")
def whole_alert() -> list[tuple[str, str]]:
    return _undisturbed(ALERT)


@pytest.fixture(scope="module")
def whole_report() -> list[tuple[str, str]]:
    return _undisturbed(EXAMPLES[REPORT])


def _deliver_until_closed(delivery: Delivery, key: str, tries: int = 5) -> None:
    for _ in range(tries):
        delivery.clock.now += 20
        if delivery.outcome(key) or delivery.deliver(key).closed:
            return
    raise AssertionError(f"{key} was never closed")


def _dies(delivery: Delivery, key: str, number: int, *, after: bool, error: type[BaseException]) -> bool:
    """Deliver with a journal that fails at the n-th write; whether a channel may have got a step that is not marked."""
    delivery.storage.die_at(number, after=after, error=error)
    entries_before = len(delivery.storage.written)
    with suppress(error):
        delivery.deliver(key)
    delivery.storage.writes_left = None
    written = [stored.entry.entry for stored in delivery.storage.written[entries_before:]]
    return any(one == "sending" and two != "sent" for one, two in pairwise([*written, "end"]))


# --- killed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "after", "error"), DEATHS)
def test_an_alert_killed_anywhere_arrives_whole_with_at_most_the_unknown_step_twice(
    wordy: Delivery, whole_alert: list[tuple[str, str]], number: int, after: bool, error: type[BaseException]
) -> None:
    wordy.queue(ALERT)
    unmarked = _dies(wordy, ALERT.key, number, after=after, error=error)
    _deliver_until_closed(wordy, ALERT.key)
    seen = [_what(message) for message in wordy.seen]
    doubled = list(seen)
    for message in whole_alert:
        assert message in doubled
        doubled.remove(message)
    album = len([what for what in whole_alert if what[0] == "album"])
    assert len(doubled) in ({0, 1, album} if unmarked else {0})
    assert seen[0] == whole_alert[0]


@pytest.mark.parametrize(("number", "after", "error"), DEATHS)
def test_a_report_killed_anywhere_is_never_doubled(
    wordy: Delivery, whole_report: list[tuple[str, str]], number: int, after: bool, error: type[BaseException]
) -> None:
    wordy.queue(REPORT)
    unmarked = _dies(wordy, REPORT, number, after=after, error=error)
    _deliver_until_closed(wordy, REPORT)
    seen = [_what(message) for message in wordy.seen]
    assert seen == whole_report[: len(seen)]
    (closed,) = wordy.entries(REPORT, "closed")
    if unmarked:
        assert closed.outcome == "unknown"
        assert "send the report again" in closed.text
    else:
        assert closed.outcome == "delivered"
        assert seen == whole_report


@pytest.mark.parametrize(("number", "after"), [*((number, False) for number in range(1, 19, 2)), (2, True)])
def test_a_digest_killed_anywhere_closes_its_messages_and_repeats_none(
    delivery: Delivery, number: int, after: bool
) -> None:
    runs = failed_runs(6)
    delivery.queue(*runs, digest_of(runs))
    _dies(delivery, "digest-x", number, after=after, error=Killed)
    _deliver_until_closed(delivery, "digest-x")
    for run in runs:
        assert delivery.outcome(run.key) == "delivered"
        assert delivery.entries(run.key, "sent")[0].within == "digest-x"
        delivery.deliver(run.key)
    assert len(delivery.seen) <= 2
    assert all("DIGEST" in text for text in delivery.texts)


@pytest.mark.parametrize("number", range(1, 9))
def test_a_kill_while_the_fallback_sends_doubles_the_message_there_at_most_once(
    delivery: Delivery, number: int
) -> None:
    delivery.with_slack()
    delivery.queue(FAILED)
    delivery.api.down()
    delivery.pass_time(14)
    delivery.storage.die_at(number)
    with suppress(Killed):
        delivery.pass_time(10)
    delivery.storage.writes_left = None
    delivery.pass_time(30)
    assert 1 <= len(delivery.slack_texts) <= 2
    assert [entry for entry in delivery.entries(FAILED, "sent") if entry.channel == "slack"]
    delivery.api.up()
    delivery.pass_time(10)
    assert len(delivery.seen) == 1


# --- answers that are lost ------------------------------------------------------------------------------------------


LOST = {
    "dropped": lambda: Fault.dropped(processed=True),
    "hanging": lambda: Fault.hanging(processed=True),
    "not JSON": lambda: Fault.not_json().after_processing(),
    "a gateway's 504": lambda: Fault.server_error(504, as_html=True).after_processing(),
}


@pytest.mark.parametrize("name", [*LOST])
def test_an_alert_whose_answer_is_lost_is_sent_again(delivery: Delivery, name: str) -> None:
    delivery.queue(FAILED)
    if name == "hanging":
        delivery.answers_within = 0.7
    delivery.api.faults.add(LOST[name](), method="sendMessage")
    _deliver_until_closed(delivery, FAILED)
    assert len(delivery.seen) == 2
    assert len(set(delivery.texts)) == 1


@pytest.mark.parametrize("name", [*LOST])
def test_a_report_whose_answer_is_lost_is_not_sent_again_and_says_what_to_do(delivery: Delivery, name: str) -> None:
    delivery.with_slack()
    delivery.queue(REPORT)
    if name == "hanging":
        delivery.answers_within = 0.7
    delivery.api.faults.add(LOST[name](), method="sendMessage")
    outcome = delivery.deliver(REPORT)
    assert outcome.closed.outcome == "unknown"
    assert outcome.closed.text.startswith("telegram: ")
    assert "Check the chat" in outcome.closed.text
    assert outcome.failures["telegram"].reason == "unknown"
    delivery.pass_time(60)
    assert len(delivery.seen) == 1
    assert delivery.slack.payloads == []  # it may be in the chat, so no other channel gets it


def test_a_report_lost_in_a_copy_is_unknown_there_and_not_doubled_anywhere(delivery: Delivery) -> None:
    delivery.with_slack(copy_to_slack="daily_report")
    delivery.queue(REPORT)
    delivery.slack.answers = ["drop"]
    delivery.api.down()
    assert delivery.deliver(REPORT).closed is None
    delivery.api.up()
    outcome = delivery.deliver(REPORT)
    assert (outcome.closed.outcome, outcome.closed.text.partition(":")[0]) == ("unknown", "slack")
    assert len(delivery.slack.payloads) == 1
    assert delivery.texts[0].startswith("📊")


# --- what is recorded of failures -----------------------------------------------------------------------------------
