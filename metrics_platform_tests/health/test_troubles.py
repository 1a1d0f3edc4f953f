"""Failures that come again: each rule as a course of failures and successes, and what must hold of any course."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_platform.health.troubles import Failure, Rules, Success, Telling, Troubles, fingerprint, take_in

START = datetime.datetime(2026, 11, 20, 20, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
HOUR = datetime.timedelta(hours=1)
DAY = datetime.timedelta(days=1)
RULES = Rules()


@dataclass
class Watch:
    """A course of what happened, taken in as a sensor does: tick by tick."""

    now: datetime.datetime = START
    troubles: Troubles = field(default_factory=Troubles)
    told: list[Telling] = field(default_factory=list)
    number: int = 0

    def after(self, span: datetime.timedelta) -> Watch:
        """Time passes."""
        self.now += span
        return self

    def fails(self, subject: str = "job daily_etl", cause: str = "no answer", times: int = 1) -> list[str]:
        """Failures, and what the tick tells."""
        happened = []
        for _ in range(times):
            self.number += 1
            happened.append(Failure(subject, cause, self.now, f"run-{self.number}", f"id-{self.number}"))
        return self.tick(*happened)

    def succeeds(self, subject: str = "job daily_etl") -> list[str]:
        """A success, and what the tick tells."""
        return self.tick(Success(subject, self.now))

    def tick(self, *happened: Failure | Success) -> list[str]:
        """A tick; what it tells, as kinds with the number of failures that are new to people."""
        # Through JSON, as the cursor goes.
        before = Troubles.model_validate_json(self.troubles.model_dump_json())
        self.troubles, tellings = take_in(before, happened, self.now, RULES)
        self.told += tellings
        return [f"{each.kind} {each.failures}" for each in tellings]


# --- one trouble -----------------------------------------------------------------------------------------------------


def test_the_first_failure_is_told_at_once_and_the_same_again_is_only_counted() -> None:
    watch = Watch()
    assert watch.fails() == ["first 1"]
    for _ in range(10):
        assert watch.after(15 * MINUTE).fails() == []
    (trouble,) = watch.troubles.troubles
    assert (trouble.failures, trouble.told) == (11, 1)


def test_what_goes_on_failing_is_told_again_after_hours_with_how_often() -> None:
    watch = Watch()
    watch.fails()
    told = [watch.after(15 * MINUTE).fails() for _ in range(16)]
    assert told[:15] == [[]] * 15 and told[15] == ["again 16"]
    again = watch.told[-1]
    assert (again.thread, again.key) == ("run-1", "run-1-again-17")


def test_gaps_double_so_that_ten_hours_of_failures_are_two_messages_and_a_day_three() -> None:
    watch = Watch()
    told = watch.fails()
    for _ in range(40):
        told += watch.after(15 * MINUTE).fails()
    assert told == ["first 1", "again 16"]
    for _ in range(56):
        told += watch.after(15 * MINUTE).fails()
    assert told == ["first 1", "again 16", "again 32"]


def test_a_job_that_fails_every_night_is_told_every_night() -> None:
    watch = Watch()
    nights = [watch.fails()] + [watch.after(DAY).fails() for _ in range(6)]
    assert nights == [["first 1"]] + [["again 1"]] * 6


def test_what_failed_once_is_not_told_again() -> None:
    watch = Watch()
    watch.fails()
    assert [watch.after(HOUR).tick() for _ in range(100)] == [[]] * 100


def test_the_next_success_is_an_all_clear_in_the_thread_with_all_failures() -> None:
    watch = Watch()
    watch.fails()
    watch.after(15 * MINUTE).fails(times=3)
    assert watch.after(15 * MINUTE).succeeds() == ["over 4"]
    over = watch.told[-1]
    assert over.thread == "run-1" and over.at == watch.now
    assert watch.after(15 * MINUTE).succeeds() == []


def test_a_success_of_another_job_ends_nothing() -> None:
    watch = Watch()
    watch.fails()
    assert watch.after(MINUTE).succeeds("job anomaly_check") == []


def test_a_success_that_ended_before_the_last_failure_ends_nothing() -> None:
    watch = Watch()
    early = Success("job daily_etl", watch.now)
    watch.after(MINUTE).fails()
    assert watch.tick(early) == []


def test_what_comes_back_soon_after_its_all_clear_is_told_again_and_has_to_succeed_four_times() -> None:
    watch = Watch()
    watch.fails()
    watch.after(15 * MINUTE).succeeds()
    assert watch.after(15 * MINUTE).fails() == ["again 1"]
    assert [watch.after(15 * MINUTE).succeeds() for _ in range(4)] == [[], [], [], ["over 2"]]


def test_a_job_that_fails_every_other_time_all_night_makes_a_handful_of_messages() -> None:
    watch = Watch()
    for number in range(40):
        watch.after(15 * MINUTE)
        if number % 2:
            watch.succeeds()
        else:
            watch.fails()
    assert [each.kind for each in watch.told] == ["first", "over", "again", "again"]


def test_a_day_after_its_all_clear_the_same_cause_is_a_new_one() -> None:
    watch = Watch()
    watch.fails()
    watch.after(15 * MINUTE).succeeds()
    assert watch.after(DAY).fails() == ["first 1"]


def test_another_cause_of_the_same_job_is_told_by_itself_and_one_success_ends_both() -> None:
    watch = Watch()
    watch.fails(cause="no answer")
    assert watch.after(MINUTE).fails(cause="table is missing") == ["first 1"]
    assert watch.after(MINUTE).succeeds() == ["over 1", "over 1"]


def test_a_run_that_is_seen_again_is_no_second_failure() -> None:
    watch = Watch()
    failure = Failure("job x", "no answer", watch.now, "run-1", "id-1")
    watch.tick(failure)
    watch.after(HOUR).tick(failure)
    assert [each.failures for each in watch.troubles.troubles] == [1]


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
    assert (fingerprint("job x", one) == fingerprint("job x", other)) == same


# --- many ------------------------------------------------------------------------------------------------------------


def word(number: int) -> str:
    """A word for a number: causes that differ in more than numbers."""
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


def test_after_five_troubles_within_an_hour_the_others_are_told_together() -> None:
    watch = Watch()
    told = [watch.fails(f"check {word(number)}:c") for number in range(10)]
    assert told == [["first 1"]] * 5 + [[]] * 5
    assert watch.after(4 * MINUTE).tick() == []
    assert watch.after(MINUTE).tick() == ["together 5"]
    assert watch.told[-1].counts == (1,) * 5 and watch.told[-1].since == START


def test_one_or_two_that_were_held_back_have_messages_of_their_own_after_all() -> None:
    watch = Watch()
    for number in range(6):
        watch.fails(f"check {word(number)}:c")
    watch.after(2 * MINUTE).fails(f"check {word(5)}:c")
    assert watch.after(3 * MINUTE).tick() == ["first 2"]
    assert watch.told[-1].key == "run-6"
    assert watch.after(MINUTE).succeeds(f"check {word(5)}:c") == ["over 2"]


def test_a_third_cause_of_one_job_is_told_together_with_others_and_another_job_by_itself() -> None:
    watch = Watch()
    assert [watch.fails(cause=word(number)) for number in range(4)] == [["first 1"], ["first 1"], [], []]
    assert watch.after(2 * HOUR).fails(cause="one more") == ["together 3"]
    assert watch.after(HOUR).fails("job anomaly_check") == ["first 1"]


def test_what_nobody_knows_of_waits_an_hour_at_most_however_long_a_flood_lasts() -> None:
    watch = Watch()
    for number in range(30):
        watch.after(10 * MINUTE).fails(cause=word(number))
    for number in range(4):
        watch.fails(f"check {word(number)}:c")
    watch.after(HOUR).tick()
    known = {trouble.subject for each in watch.told for trouble in each.troubles}
    assert known >= {f"check {word(number)}:c" for number in range(4)}


@pytest.mark.parametrize("distinct", [True, False])
def test_a_night_with_500_failures_makes_a_handful_of_messages_that_count_them_all(distinct: bool) -> None:
    watch = Watch()
    for number in range(500):
        watch.after(72 * datetime.timedelta(seconds=1)).fails(cause=f"cause {word(number)}" if distinct else "the one")
    watch.after(9 * HOUR).tick()
    assert len(watch.told) <= (10 if distinct else 4)
    if distinct:
        assert sum(each.failures for each in watch.told) == 500


def test_five_hundred_at_once_are_three_messages() -> None:
    watch = Watch()
    happened = [Failure("job x", f"cause {word(n)}", START, f"run-{n}", f"id-{n}") for n in range(500)]
    watch.tick(*happened)
    watch.after(5 * MINUTE).tick()
    assert [each.kind for each in watch.told] == ["first"] * 2 + ["together"]
    assert len(watch.troubles.troubles) == RULES.most
    assert watch.after(HOUR).succeeds("job x") == ["over 1"] * 2  # what was told by itself has its end


# --- whatever happens -------------------------------------------------------------------------------------------------

_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["fail", "succeed", "nothing"]),
        st.sampled_from(["job a", "job b", "check t:c"]),
        st.sampled_from(["one", "two", "three"]),
        st.integers(0, 600),  # minutes since the step before
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(_STEPS)
def test_whatever_happens_no_message_is_told_twice_and_answers_come_after_what_they_answer(
    steps: list[tuple[str, str, str, int]],
) -> None:
    watch = Watch()
    failures = 0
    for what, subject, cause, minutes in steps:
        watch.after(minutes * MINUTE)
        if what == "fail":
            failures += 1
            watch.fails(subject, cause)
        elif what == "succeed":
            watch.succeeds(subject)
        else:
            watch.tick()
    keys = [each.key for each in watch.told]
    assert len(set(keys)) == len(keys)
    for number, each in enumerate(watch.told):
        assert not each.thread or each.thread in keys[:number]
    # After the last of them nothing is open, and people know of every failure, once.
    for subject in ("job a", "job b", "check t:c"):
        for _ in range(100):
            watch.succeeds(subject)
    watch.after(9 * HOUR).tick()
    told = sum(each.failures for each in watch.told if each.kind in ("first", "again", "together"))
    assert told <= failures
    last_words = {each.thread: each.failures for each in watch.told if each.kind == "over"}
    opened = [each for each in watch.told if each.kind == "first"]
    together = sum(each.failures for each in watch.told if each.kind == "together")
    assert set(last_words) == {each.key for each in opened}
    assert sum(last_words.values()) + together == failures
    assert all(each.over_at is not None for each in watch.troubles.troubles)


@settings(max_examples=100, deadline=None)
@given(_STEPS)
def test_whatever_happens_an_hour_has_at_most_so_many_messages(steps: list[tuple[str, str, str, int]]) -> None:
    watch = Watch()
    moments: list[datetime.datetime] = []
    for what, subject, cause, minutes in steps:
        watch.after(minutes * MINUTE)
        before = len(watch.told)
        if what == "fail":
            watch.fails(subject, cause)
        else:
            watch.tick()
        moments += [watch.now] * (len(watch.told) - before)
    # Five troubles by themselves and one message of the others; nine causes that come again after hours.
    assert all(sum(at <= other < at + HOUR for other in moments) <= 5 + 2 + 9 for at in moments)
