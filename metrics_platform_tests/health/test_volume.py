"""Odd volumes: against the same weekday before, robustly, and never against themselves."""

from __future__ import annotations

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


@given(_COUNTS, _COUNTS, st.lists(_COUNTS, min_size=3, max_size=8))
def test_what_is_judged_never_moves_its_own_band_nor_does_the_order_of_weeks(
    one: int, other: int, before: list[int]
) -> None:
    first, second = judge(one, before), judge(other, before[::-1])
    assert (first.expected, first.lower, first.upper) == (second.expected, second.lower, second.upper)


def course(signs: str) -> list[int]:
    """The slots (from 0) at which something is told; «-» fewer rows, «+» more, «.» usual, «?» not enough history."""
    rows = {"-": 200, "+": 900, ".": 400}
    known, told = Course(), []
    for number, sign in enumerate(signs):
        found = Judgement("not_enough_history", 1, 0) if sign == "?" else judge(rows[sign], [400, 404, 396])
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
        ("..----........----", [5, 17]),  # two calm hours are an end
        ("..--++--++", []),
        ("..--++++", [7]),
        ("..---?----", [9]),
    ],
)
def test_an_hour_of_odd_slots_is_told_once(signs: str, told: list[int]) -> None:
    assert course(signs) == told


def test_several_slots_are_told_as_one_period() -> None:
    whole = together([judge(rows, [400, 404, 396]) for rows in (200, 190, 210, 205)])
    assert (whole.rows, whole.expected, whole.lower, whole.upper) == (805, 1600, 1200, 2000)
