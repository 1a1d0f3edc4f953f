"""Failures that repeat, and floods of them, through the alert engine and the store of a sensor."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_platform.alerts.alert import Condition, Notification, Subject
from metrics_platform.alerts.engine import MOST
from metrics_platform.alerts.policies import FAILED_CHECK
from metrics_platform.defs.health.alert_store import AlertCursor, update_alerts
from metrics_platform.defs.health.failed_runs import without_ids
from metrics_platform.settings import Settings, load_settings

START = datetime.datetime(2026, 11, 20, 20, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
HOUR = datetime.timedelta(hours=1)
DAY = datetime.timedelta(days=1)
ETL = Subject("failed_run", "daily_etl")
OTHER = Subject("failed_run", "anomaly_check")
NAMES = {"notify": load_settings(None)}


@dataclass
class Watch:
    """A sensor that applies failures and successes tick by tick."""

    settings: Settings = field(default_factory=lambda: NAMES["notify"])
    now: datetime.datetime = START
    cursor: str = ""
    sent: list[Notification] = field(default_factory=list)
    number: int = 0

    def after(self, span: datetime.timedelta) -> Watch:
        """Time passes."""
        self.now += span
        return self

    def fails(self, subject: Subject = ETL, cause: str = "no answer", times: int = 1) -> list[str]:
        """Failures, and what the tick sends."""
        conditions = []
        for _ in range(times):
            self.number += 1
            run = f"run-{self.number}"
            conditions.append(Condition(subject, "firing", self.now, cause, "failed", run, key=run))
        return self.tick(*conditions)

    def succeeds(self, subject: Subject = ETL) -> list[str]:
        """A success, and what the tick sends."""
        return self.tick(Condition(subject, "normal", self.now))

    def tick(self, *conditions: Condition) -> list[str]:
        """A tick; what it sends, with the number of failures that people have not been notified of."""
        alerts = AlertCursor.from_cursor(self.cursor).alerts
        alerts, found = update_alerts(alerts, self.now, conditions, self.settings)
        self.cursor = AlertCursor(alerts=alerts).model_dump_json()
        self.sent += found
        return [f"{notification.kind} {sum(notification.new_counts)}" for notification in found]

    def every(self, span: datetime.timedelta, times: int, what: Callable[[int], list[str]]) -> list[str]:
        """The same at intervals; everything that was sent."""
        return [text for number in range(times) for text in self.after(span) and what(number)]


def word(number: int) -> str:
    """A word for a number: causes that differ in more than numbers."""
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


def check(number: int) -> Subject:
    return Subject("failed_check", f"{word(number)}:c")


# --- one failure ------------------------------------------------------------------------------------------------------


def test_a_failure_that_repeats_is_counted_and_reminded_of_at_doubled_gaps() -> None:
    watch = Watch()
    assert watch.fails() == ["opened 1"]
    assert watch.every(15 * MINUTE, 96, lambda _: watch.fails()) == ["reminder 16", "reminder 32"]
    assert watch.sent[1].thread == watch.sent[0].key == "run-1"
    assert watch.sent[1].key == "run-1-reminder-1"


def test_a_job_that_fails_every_night_is_notified_every_night() -> None:
    watch = Watch()
    assert watch.fails() + watch.every(DAY, 6, lambda _: watch.fails()) == ["opened 1"] + ["reminder 1"] * 6


def test_what_failed_once_has_no_reminder() -> None:
    watch = Watch()
    watch.fails()
    assert watch.every(HOUR, 100, lambda _: watch.tick()) == []


def test_the_next_success_is_an_all_clear_in_the_thread() -> None:
    watch = Watch()
    watch.fails()
    watch.after(15 * MINUTE).fails(times=1)
    early = Condition(ETL, "normal", watch.now - MINUTE)
    assert watch.after(MINUTE).tick(early) == []  # it ended before the last failure
    assert watch.succeeds(OTHER) == []
    assert watch.after(15 * MINUTE).succeeds() == ["resolved 1"]
    over = watch.sent[-1]
    assert over.thread == "run-1" and over.alerts[0].count == 2 and over.alerts[0].normal_at == watch.now
    assert watch.after(15 * MINUTE).succeeds() == []


def test_what_fails_again_soon_is_announced_and_must_succeed_four_times() -> None:
    watch = Watch()
    watch.fails()
    watch.after(15 * MINUTE).succeeds()
    assert watch.after(15 * MINUTE).fails() == ["reminder 1"]
    assert watch.every(15 * MINUTE, 4, lambda _: watch.succeeds()) == ["resolved 0"]
    assert watch.after(DAY).fails() == ["opened 1"]


def test_a_job_that_fails_every_other_time_makes_a_handful_of_messages() -> None:
    watch = Watch()
    watch.every(15 * MINUTE, 40, lambda number: watch.succeeds() if number % 2 else watch.fails())
    assert [found.kind for found in watch.sent] == ["opened", "resolved", "reminder"]


def test_each_cause_is_an_alert_and_one_success_ends_all() -> None:
    watch = Watch()
    watch.fails(cause="no answer")
    assert watch.after(MINUTE).fails(cause="table is missing") == ["opened 1"]
    assert watch.after(MINUTE).succeeds() == ["resolved 0", "resolved 0"]


def test_a_run_that_is_read_again_is_no_second_failure() -> None:
    watch = Watch()
    failure = Condition(ETL, "firing", watch.now, "no answer", "failed", "run-1", key="run-1")
    watch.tick(failure)
    watch.after(5 * HOUR).tick(failure)
    assert [alert.count for alert in AlertCursor.from_cursor(watch.cursor).alerts] == [1]
    assert len(watch.sent) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("slots of 2026-11-21 do not add up: 17", "slots of 2026-11-22 do not add up: 3", True),
        ("query 7d1c3a55-96d1-4a60-9d2a-4a5b1c2d3e4f", "query 0b7c3a55-16d1-4a60-9d2a-4a5b1c2d3e40", True),
        ("object at 0x7f30deadbeef", "object at 0x55aa12345678", True),
        ("Code: 60. Table is missing", "Code: 241. Memory limit", False),
        ("facade decade", "decade facade", False),
    ],
)
def test_causes_are_the_same_where_only_numbers_and_ids_differ(one: str, other: str, same: bool) -> None:
    assert (without_ids(one) == without_ids(other)) == same


# --- inhibition and mutes ---------------------------------------------------------------------------------------------


def test_a_failed_check_inhibits_the_run_that_it_failed() -> None:
    watch = Watch()
    run = Condition(ETL, "firing", START, FAILED_CHECK, "failed", "run-1", key="run-1")
    failed = Condition(Subject("failed_check", "t:c"), "firing", START, "", "critical", "run-1", key="check-1")
    assert watch.tick(run, failed) == ["opened 1"]
    assert watch.sent[0].key == "check-1"
    # The check holds again, and its job fails for another cause: only that is news.
    other = Condition(ETL, "firing", START + HOUR, "no answer", "failed", "run-2", key="run-2")
    assert watch.after(HOUR).tick(Condition(Subject("failed_check", "t:c"), "normal", watch.now), other) == [
        "opened 1",
        "resolved 0",
    ]
    assert watch.sent[1].key == "run-2"


def test_an_unreachable_code_location_inhibits_its_ticks() -> None:
    watch = Watch()
    subjects = [Subject("code_location", "desk"), *(Subject("failed_tick", f"sensor {name}") for name in "abc")]
    unreachable = [Condition(each, "firing", START, "away", "failed", "desk", key=f"tick-{each.name}".replace(" ", "-"))
                   for each in subjects]  # fmt: skip
    assert watch.tick(*unreachable) == ["opened 1"]
    assert watch.sent[0].key == "tick-desk"
    back = [Condition(each, "normal", watch.after(MINUTE).now) for each in subjects]
    assert watch.tick(*back) == ["resolved 0"]


def test_a_muted_failure_is_notified_when_the_mute_ends_if_it_lasts() -> None:
    until = START + HOUR
    muted = Watch(load_settings(None, mutes=f"kind:failed_run until {until.isoformat()}"))
    assert muted.fails() == [] and muted.fails(OTHER) == []
    assert muted.after(MINUTE).succeeds(OTHER) == []
    assert muted.after(HOUR).tick() == ["opened 1"]
    assert muted.after(HOUR).tick() == []


# --- floods -----------------------------------------------------------------------------------------------------------


def test_after_five_failures_an_hour_the_others_share_a_message() -> None:
    watch = Watch()
    assert [watch.fails(check(number)) for number in range(10)] == [["opened 1"]] * 5 + [[]] * 5
    assert watch.after(4 * MINUTE).tick() == []
    assert watch.after(MINUTE).tick() == ["batch 5"]
    # They have no all-clear of their own, and are counted on.
    assert watch.after(MINUTE).fails(check(9)) == []
    assert watch.after(HOUR).tick() == ["batch 1"]
    assert watch.after(MINUTE).succeeds(check(9)) == []


def test_one_or_two_that_were_held_back_have_messages_of_their_own() -> None:
    watch = Watch()
    for number in range(6):
        watch.fails(check(number))
    assert watch.after(5 * MINUTE).tick() == ["opened 1"]
    assert watch.sent[-1].key == "run-6"
    assert watch.after(MINUTE).succeeds(check(5)) == ["resolved 0"]


def test_a_third_cause_of_a_job_shares_a_message_and_another_job_has_its_own() -> None:
    watch = Watch()
    assert [watch.fails(cause=word(number)) for number in range(5)] == [["opened 1"]] * 2 + [[]] * 3
    assert watch.after(2 * HOUR).tick() == ["batch 3"]
    assert watch.after(MINUTE).fails(OTHER) == ["opened 1"]


@pytest.mark.parametrize("distinct", [True, False])
def test_a_night_with_200_failures_makes_a_handful_of_messages(distinct: bool) -> None:
    watch = Watch()
    seconds = datetime.timedelta(seconds=180)
    watch.every(seconds, 200, lambda number: watch.fails(cause=word(number) if distinct else "the one"))
    watch.after(9 * HOUR).tick()
    assert len(watch.sent) <= (10 if distinct else 4)
    if distinct:
        assert sum(sum(found.new_counts) for found in watch.sent) == 200


def test_500_failures_at_once_are_three_messages() -> None:
    watch = Watch()
    watch.tick(*(Condition(ETL, "firing", START, word(n), "failed", f"run-{n}", key=f"run-{n}") for n in range(500)))
    watch.after(5 * MINUTE).tick()
    assert [found.kind for found in watch.sent] == ["opened", "opened", "batch"]
    assert len(AlertCursor.from_cursor(watch.cursor).alerts) == MOST
    assert watch.after(HOUR).succeeds() == ["resolved 0"] * 2


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["fail", "succeed", "nothing"]),
        st.sampled_from([ETL, OTHER, check(0)]),
        st.sampled_from(["one", "two", "three"]),
        st.integers(1, 600),  # minutes since the step before
    ),
    max_size=40,
)


@settings(max_examples=max(10, settings().max_examples))
@given(_STEPS)
def test_no_message_is_sent_twice_and_every_thread_ends(steps: list[tuple[str, Subject, str, int]]) -> None:
    watch = Watch()
    at: list[datetime.datetime] = []
    for what, subject, cause, minutes in steps:
        watch.after(minutes * MINUTE)
        sent = (
            watch.fails(subject, cause)
            if what == "fail"
            else watch.succeeds(subject)
            if what == "succeed"
            else watch.tick()
        )
        at += [watch.now] * len([text for text in sent if not text.startswith("resolved")])
    for subject in (ETL, OTHER, check(0)):
        watch.every(MINUTE, 97, lambda _, subject=subject: watch.succeeds(subject))  # type: ignore[misc]
    keys = [found.key for found in watch.sent]
    assert len(set(keys)) == len(keys)
    for number, found in enumerate(watch.sent):
        assert not found.thread or found.thread in keys[:number]
    opened = {found.key for found in watch.sent if found.kind == "opened"}
    assert {found.thread for found in watch.sent if found.kind == "resolved"} == opened
    # Five failures alone, one message of the others, and reminders of nine causes.
    assert all(sum(moment <= other < moment + HOUR for other in at) <= 5 + 2 + 9 for moment in at)
