"""Odd volumes: against the same weekday before, robustly, and never against themselves."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_platform.health.volume import Course, Judgement, follow, judge, together

USUAL = [10_100, 9_900, 10_000, 10_050, 9_950]
_COUNTS = st.integers(0, 10**7)


@pytest.mark.parametrize(
    ("rows", "before", "status", "severity"),
    [
        (10_000, USUAL, "normal", None),
        (8_000, USUAL, "normal", None),
        (12_000, USUAL, "normal", None),
        (5_000, USUAL, "odd", "critical"),
        (6_000, USUAL, "odd", "warning"),
        (0, USUAL, "odd", "critical"),
        (3_000, USUAL, "odd", "critical"),
        (20_000, USUAL, "odd", "warning"),
        (0, [], "not_enough_history", None),
        (0, [10_000, 10_000], "not_enough_history", None),
        (5_000, [10_000, 10_000, 10_000], "odd", "critical"),
        # days without rows are days, too
        (0, [0, 0, 0, 0], "normal", None),
        (4, [0, 0, 0, 0], "normal", None),
        (500, [0, 0, 0, 0], "odd", "warning"),
        (0, [10_000, 0, 10_000, 0, 10_000], "odd", "critical"),
        (0, [10_000, 5_000, 2_000, 8_000, 500], "odd", "critical"),  # however wild the weeks before were
        (1, [10_000, 5_000, 2_000, 8_000, 500], "normal", None),
        # one bad week does not hide the next
        (5_000, [10_000, 100, 10_000, 10_100, 9_900], "odd", "critical"),
        # growth of 5 % a week goes on
        (12_763, [12_155, 11_576, 11_025, 10_500, 10_000], "normal", None),
        (6_300, [12_155, 11_576, 11_025, 10_500, 10_000], "odd", "warning"),
        # counts so small that chance alone makes them half or twice
        (3, [10, 9, 11, 10, 10], "normal", None),
        (20, [10, 9, 11, 10, 10], "normal", None),
        (40, [10, 9, 11, 10, 10], "odd", "warning"),
    ],
)
def test_a_period_against_its_weekday(rows: int, before: list[int], status: str, severity: str | None) -> None:
    found = judge(rows, before)
    assert (found.status, found.severity if found.status == "odd" else None) == (status, severity)


@given(_COUNTS, st.lists(_COUNTS, min_size=3, max_size=8))
def test_the_band_is_the_median_and_the_robust_deviation_as_pandas_has_them(rows: int, before: list[int]) -> None:
    series = pd.Series(before, dtype="float64")
    median = series.median()
    half = max(4 * 1.4826 * (series - median).abs().median(), 0.25 * median, 5 * max(median, 1.0) ** 0.5)
    found = judge(rows, before)
    assert found.expected == pytest.approx(median)
    assert found.lower == pytest.approx(max(0.0, median - half))
    assert found.upper == pytest.approx(median + half)
    outside = not max(0.0, median - half) <= rows <= median + half
    assert (found.status == "odd") == (outside or (rows == 0 and median > 25))
    assert (found.rows, found.weeks) == (rows, len(before))
    assert found.change == (pytest.approx(rows / median - 1) if median else None)
    assert found.severity == ("critical" if median and rows <= median / 2 else "warning")


@given(st.integers(3_000, 10**6), st.integers(100, 105), st.integers(0, 10**6))
def test_growth_of_up_to_five_percent_a_week_is_normal_and_a_third_of_what_it_grew_to_is_not(
    first: int, growth: int, noise: int
) -> None:
    weeks = [first * (growth / 100) ** week * (1 + (noise * (week + 1) % 41 - 20) / 1000) for week in range(6)]
    *before, now = map(round, weeks)
    assert judge(now, before).status == "normal"
    assert judge(now // 3, before).status == "odd"


@given(st.integers(1_000, 10**6), st.lists(_COUNTS, min_size=1, max_size=2))
def test_up_to_two_wild_weeks_of_five_neither_hide_a_loss_nor_invent_one(usual: int, wild: list[int]) -> None:
    before = [*wild, *[usual] * (5 - len(wild))]
    assert [judge(rows, before).status for rows in (usual, usual // 2)] == ["normal", "odd"]


@given(_COUNTS, _COUNTS, st.lists(_COUNTS, min_size=3, max_size=8))
def test_what_is_judged_never_moves_its_own_band_nor_does_the_order_of_weeks(
    one: int, other: int, before: list[int]
) -> None:
    first, second = judge(one, before), judge(other, before[::-1])
    assert (first.expected, first.lower, first.upper) == (second.expected, second.lower, second.upper)


def course(signs: str) -> list[int]:
    """The slots (from 0) at which something is told.

    «-» has fewer rows, «+» more, «*» many where there usually are none, «.» the usual, «?» not enough history.
    """
    slots = {
        "-": judge(200, [400, 404, 396]),
        "+": judge(900, [400, 404, 396]),
        "*": judge(900, [0, 0, 0]),
        ".": judge(400, [400, 404, 396]),
        "?": Judgement("not_enough_history", 1, 0),
    }
    known, told = Course(), []
    for number, sign in enumerate(signs):
        found = slots[sign]
        known, tells = follow(Course.model_validate_json(known.model_dump_json()), found)
        told += [number] if tells else []
    return told


@pytest.mark.parametrize(
    ("signs", "told"),
    [
        ("................", []),
        ("..-..-..--..---.", []),
        ("..----------", [5]),
        ("..----....----", [5]),  # an hour later it is still the same
        ("..----.......----", [5]),
        ("..----........----", [5, 17]),  # two calm hours are an end
        ("..----.......-.----", [5]),  # of calm slots in a row alone
        ("..----++++", [5]),  # people look at it already
        ("..--++--++", []),
        ("..--++++", [7]),
        ("..++**", [5]),
        ("..--**--", []),
        ("..---?----", [9]),
    ],
)
def test_an_hour_of_odd_slots_is_told_once(signs: str, told: list[int]) -> None:
    assert course(signs) == told


@given(st.lists(st.sampled_from(["....", "........", ".", "-", "--", "----", "+", "+++", "*"]), max_size=30))
def test_a_course_is_told_as_its_signs_read(pieces: list[str]) -> None:
    signs = "".join(pieces)
    courses = re.finditer(r"(?:(?!\.{8}).)+", signs)  # parted by eight calm slots
    firsts = [(each.start(), re.search(r"-{4}|[+*]{4}", each.group())) for each in courses]
    assert course(signs) == [start + first.end() - 1 for start, first in firsts if first]


def test_several_slots_are_told_as_one_period() -> None:
    whole = together([judge(rows, [400, 404, 396]) for rows in (200, 190, 210, 205)])
    assert (whole.rows, whole.expected, whole.lower, whole.upper) == (805, 1600, 1200, 2000)
    assert (whole.status, whole.severity) == ("odd", "warning")
    assert whole.change == pytest.approx(-0.496875)


def test_of_several_slots_those_without_a_band_are_left_out_with_their_rows() -> None:
    young = Judgement("not_enough_history", 700, 2)
    whole = together([judge(200, [400, 404, 396, 400]), young, judge(200, [400, 404, 396])])
    assert whole == Judgement("odd", 400, 3, 800.0, 600.0, 1000.0)
    assert whole.severity == "critical"
    assert together([young]).rows == 0
