"""Many messages as one: each of them is told, noted and closed by it, and none goes anywhere twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from metrics_platform.notifications.journal import Reopened
from metrics_platform.notifications.planning import MAX_DIGEST
from metrics_platform_tests.notifications.desk import Desk, digest_of, failed_runs, running_desk
from metrics_platform_tests.telegram.state import Standing


@pytest.fixture
def desk() -> Iterator[Desk]:
    with running_desk() as found:
        yield found


def test_many_are_one_message_and_each_of_them_is_closed_by_it(desk: Desk) -> None:
    runs = failed_runs(MAX_DIGEST)
    desk.ask(*runs, digest_of(runs))
    outcome = desk.deliver("digest-x")
    assert outcome.closed is not None
    assert all(f"job_{number:03d}" in "\n".join(desk.texts) for number in range(MAX_DIGEST))
    assert len(desk.seen) <= 2
    first = desk.seen[0].message_id
    for run in runs:
        (sent,) = desk.entries(run.key, "sent")
        assert (sent.within, sent.message_ids) == ("digest-x", (str(first),))
        assert desk.deliver(run.key).closed is not None
    assert len(desk.seen) <= 2
    assert not desk.seen[0].silent


def test_a_digest_of_what_the_fallback_told_one_by_one_does_not_go_there_again(desk: Desk) -> None:
    runs = failed_runs(6)
    desk.ask(*runs)
    for run in runs:
        desk.deliver(run.key, fallback="slack", only_fallback=True)
    desk.ask(digest_of(runs))
    desk.api.chat(desk.chat).standing = Standing.KICKED
    desk.deliver("digest-x", fallback="slack")
    assert len(desk.slack.payloads) == 6
    assert desk.entries("digest-x", "sent")[0].channel == "slack"
    desk.api.chat(desk.chat).standing = Standing.WELCOME
    assert desk.deliver("digest-x", fallback="slack").closed is not None
    assert len(desk.seen) == 1


def test_a_digest_over_the_fallback_is_told_for_each_of_its_parts(desk: Desk) -> None:
    runs = failed_runs(6)
    desk.ask(*runs, digest_of(runs))
    desk.deliver("digest-x", fallback="slack", only_fallback=True)
    for run in runs:
        desk.deliver(run.key, fallback="slack", only_fallback=True)
    assert len(desk.slack.payloads) == 1


def test_a_digest_after_three_hours_says_that_it_is_late(desk: Desk) -> None:
    runs = failed_runs(6)
    desk.ask(*runs, digest_of(runs))
    desk.clock.now = 3 * 3600
    desk.deliver("digest-x")
    assert "Delayed" in desk.texts[0]


def test_a_reopened_digest_is_delivered_once_more(desk: Desk) -> None:
    runs = failed_runs(6)
    desk.ask(*runs, digest_of(runs))
    desk.deliver("digest-x")
    desk.journal.write("digest-x", Reopened())
    desk.deliver("digest-x")
    assert len(desk.seen) == 2
