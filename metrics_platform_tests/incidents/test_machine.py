"""The rules of incidents, each as a course of slots: «.» normal, «-» a fall, «=» a critical one, «+» a rise."""

from __future__ import annotations

import datetime
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_platform.calendar import SLOT
from metrics_platform.incidents.incident import Series
from metrics_platform.incidents.machine import Rules, step
from metrics_platform_tests.incidents.course import (
    LIKES,
    MESSAGES,
    METRICS,
    START,
    VIEWS,
    VIEWS_ON_ANDROID,
    Course,
    verdict,
)


def test_an_incident_is_told_once_and_its_end_after_two_normal_slots() -> None:
    course = Course()
    assert course.run({VIEWS: "..====.."}) == [(2, "opened"), (7, "resolved")]
    (incident,) = course.incidents.values()
    assert incident.opened_at == START + 2 * SLOT
    assert incident.closed_at == START + 6 * SLOT  # the first of the two
    assert (incident.worst_change, incident.worst_at) == (pytest.approx(-0.8), START + 2 * SLOT)
    assert course.told[1][1].thread == course.told[0][1].key


def test_six_hours_are_one_message_one_reminder_and_one_all_clear() -> None:
    assert Course().run({VIEWS: "=" * 24 + ".."}) == [(0, "opened"), (16, "reminder"), (25, "resolved")]


def test_reminders_come_at_doubled_gaps() -> None:
    told = Course().run({VIEWS: "=" * 130})
    assert told == [(0, "opened"), (16, "reminder"), (48, "reminder"), (112, "reminder")]


def test_a_single_normal_slot_ends_nothing() -> None:
    assert Course().run({VIEWS: "=.=.=.=.."}) == [(0, "opened"), (8, "resolved")]


def test_what_comes_back_within_two_hours_is_the_same_incident_and_takes_longer_to_end() -> None:
    course = Course()
    told = course.run({VIEWS: "=..==...."})
    # Told by a reminder, too, and not by an edit alone: people believe that it is over.
    assert told == [(0, "opened"), (2, "resolved"), (3, "joined"), (3, "reminder"), (8, "resolved")]
    (incident,) = course.incidents.values()
    assert incident.needed == 4
    assert incident.opened_at == START


def test_what_comes_back_later_is_a_new_incident() -> None:
    course = Course()
    told = course.run({VIEWS: "=" + "." * 12 + "=.."})
    assert told == [(0, "opened"), (2, "resolved"), (13, "opened"), (15, "resolved")]
    assert len(course.incidents) == 2


def test_the_rebound_after_an_outage_is_no_second_alert() -> None:
    assert Course().run({VIEWS: "==++.."}) == [(0, "opened"), (5, "resolved")]


def test_several_metrics_in_one_slot_are_one_message_with_one_all_clear() -> None:
    course = Course()
    told = course.run({VIEWS: ".==....", LIKES: ".===...", MESSAGES: "......."})
    assert told == [(1, "opened"), (5, "resolved")]
    assert {each.series for each in course.told[0][1].incidents} == {VIEWS, LIKES}
    assert {each.series for each in course.told[1][1].incidents} == {VIEWS, LIKES}


def test_a_metric_that_follows_within_the_hour_is_told_in_the_same_message() -> None:
    course = Course()
    told = course.run({VIEWS: "=====..", MESSAGES: ".====.."})
    assert told == [(0, "opened"), (1, "joined"), (6, "resolved")]
    assert {each.series for each in course.told[1][1].incidents} == {VIEWS, MESSAGES}


def test_a_metric_of_the_same_service_joins_its_message_within_the_hour_and_the_other_within_a_slot() -> None:
    course = Course()
    told = course.run({VIEWS: "=====..", LIKES: "...==..", MESSAGES: ".====.."})
    assert told == [(0, "opened"), (1, "joined"), (3, "joined"), (6, "resolved")]


@pytest.mark.parametrize(
    ("views", "messages", "why"),
    [
        ("======", ".....=", "an hour later"),
        ("======", "..====", "of the other service, half an hour later"),
        ("======", ".+++++", "in the other direction"),
        ("------", ".=====", "more severe"),
    ],
)
def test_a_metric_that_does_not_belong_to_a_message_gets_its_own(views: str, messages: str, why: str) -> None:
    kinds = [kind for _, kind in Course().run({VIEWS: views, MESSAGES: messages})]
    assert kinds == ["opened", "opened"], why


def test_a_slice_is_a_part_of_its_total_that_moves_with_it() -> None:
    course = Course()
    assert course.run({VIEWS: ".===..", VIEWS_ON_ANDROID: ".===.."}) == [(1, "opened"), (5, "resolved")]
    assert [each.series for each in course.told[0][1].incidents] == [VIEWS]
    slice_incident = next(each for each in course.incidents.values() if each.series == VIEWS_ON_ANDROID)
    assert slice_incident.message == ""


def test_a_slice_alone_is_told() -> None:
    assert Course().run({VIEWS: "......", VIEWS_ON_ANDROID: ".===.."}) == [(1, "opened"), (5, "resolved")]


def test_a_slice_that_lasts_longer_than_its_total_is_told_then() -> None:
    told = Course().run({VIEWS: "===......", VIEWS_ON_ANDROID: "=======.."})
    assert told == [(0, "opened"), (4, "opened"), (4, "resolved"), (8, "resolved")]


def test_nobody_is_told_of_old_slots_and_of_what_was_over_by_now() -> None:
    course = Course()
    assert course.run({VIEWS: ".==......."}, silent=range(8)) == []
    assert len(course.incidents) == 1


def test_what_is_still_open_at_the_first_young_slot_is_told_there() -> None:
    assert Course().run({VIEWS: ".=======.."}, silent=range(5)) == [(5, "opened"), (9, "resolved")]


def test_an_all_clear_that_fell_into_old_slots_is_told_at_the_first_young_one() -> None:
    assert Course().run({VIEWS: "==........"}, silent=range(1, 7)) == [(0, "opened"), (7, "resolved")]


def test_a_muted_metric_is_followed_and_told_when_the_mute_is_over_and_it_is_still_open() -> None:
    muted = {number: {"views"} for number in range(4)}
    assert Course().run({VIEWS: "=.........."}, muted=muted) == []
    assert Course().run({VIEWS: "======.."}, muted=muted) == [(4, "opened"), (7, "resolved")]


def test_a_warning_that_becomes_critical_changes_its_message_once() -> None:
    assert Course().run({VIEWS: "--===-.."}) == [(0, "opened"), (2, "joined"), (7, "resolved")]


def test_slots_without_a_verdict_leave_an_incident_as_it_is() -> None:
    course = Course()
    assert course.run({VIEWS: "==????  .?."}) == [(0, "opened"), (10, "resolved")]


def test_an_incident_that_nobody_judges_for_a_day_is_over() -> None:
    course = Course()
    assert course.run({VIEWS: "=" + "?" * 100}) == [(0, "opened"), (96, "resolved")]
    assert [each.state for each in course.incidents.values()] == ["expired"]


def test_an_id_is_five_characters_that_nobody_mixes_up() -> None:
    course = Course()
    course.run({VIEWS: "=", LIKES: "="})
    assert len(course.incidents) == 2
    for name in course.incidents:
        assert len(name) == 5
        assert not set(name) & set("01IO")


_LINES = st.text(alphabet="..--=+?", min_size=1, max_size=60)


@given(views=_LINES, likes=_LINES, android=_LINES, silent=st.sets(st.integers(0, 59)))
def test_whatever_happens_messages_are_told_once_and_ended_once(
    views: str, likes: str, android: str, silent: set[int]
) -> None:
    course = Course()
    length = max(map(len, (views, likes, android))) + 8
    lines = {
        series: line.ljust(length, ".")
        for series, line in {VIEWS: views, LIKES: likes, VIEWS_ON_ANDROID: android}.items()
    }
    course.run(lines, silent=silent)
    keys = [telling.key for _, telling in course.told]
    assert len(keys) == len(set(keys))
    assert course.open == []  # eight normal slots end everything
    opened = [telling.key for _, telling in course.told if telling.kind == "opened"]
    for key in opened:
        ends = [number for number, telling in course.told if telling.thread == key and telling.kind == "resolved"]
        back = [number for number, telling in course.told if telling.thread == key and telling.kind == "joined"]
        assert ends, "everything that was told is ended"
        assert all(any(one < number < two for number in back) for one, two in pairwise(ends)), (
            "between two all-clears the message said that it is open again"
        )
    for _, telling in course.told:
        assert telling.incidents, "every message is about something"
        if telling.kind != "opened":
            assert telling.thread in opened


@given(lines=st.lists(_LINES, min_size=2, max_size=3), silent=st.sets(st.integers(0, 59)))
def test_a_slot_worked_out_again_from_what_was_before_gives_the_same(lines: list[str], silent: set[int]) -> None:
    names = (VIEWS, VIEWS_ON_ANDROID, MESSAGES)[: len(lines)]
    course = Course()
    for position in range(max(map(len, lines))):
        verdicts = {s: verdict(s, line[position]) for s, line in zip(names, lines, strict=True) if position < len(line)}
        before, slot = list(course.incidents.values()), course.slot
        tells = position not in silent
        once = step(slot, before, verdicts, course.rules, tells=tells, sources=METRICS)
        assert once == step(
            slot, list(reversed(before)), dict(reversed(verdicts.items())), course.rules, tells=tells, sources=METRICS
        )
        course.take(verdicts, tells=tells)


def test_thousands_of_slices_at_once_are_one_message_and_one_all_clear() -> None:
    course = Course()
    slices = [Series("views", "city", str(number)) for number in range(2000)]
    course.take({each: verdict(each, "=") for each in slices})
    course.take({each: verdict(each, ".") for each in slices})
    course.take({each: verdict(each, ".") for each in slices})
    assert [telling.kind for _, telling in course.told] == ["opened", "resolved"]


def test_reminders_can_be_set() -> None:
    rules = replace(Rules(), reminded_after=datetime.timedelta(hours=1))
    assert Course(rules).run({VIEWS: "=====.."}) == [(0, "opened"), (4, "reminder"), (6, "resolved")]
