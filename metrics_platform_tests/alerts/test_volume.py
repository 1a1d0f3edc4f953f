"""Volumes against the same weekday before, and silences against the hours that usually have events."""

from __future__ import annotations

import datetime

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_platform.health.probe import (
    Limits,
    Volume,
    combine,
    evaluate_volume,
    silent_slots,
    staleness,
    usual_rows,
)
from metrics_platform.time_windows import SLOT, Slot

USUAL = [10_100, 9_900, 10_000, 10_050, 9_950]
_COUNTS = st.integers(0, 10**7)


@pytest.mark.parametrize(
    ("rows", "before", "status", "severity"),
    [
        (10_000, USUAL, "normal", None),
        (8_000, USUAL, "normal", None),
        (12_000, USUAL, "normal", None),
        (5_000, USUAL, "unusual", "critical"),
        (6_000, USUAL, "unusual", "warning"),
        (0, USUAL, "unusual", "critical"),
        (3_000, USUAL, "unusual", "critical"),
        (20_000, USUAL, "unusual", "warning"),
        (0, [], "not_enough_history", None),
        (0, [10_000, 10_000], "not_enough_history", None),
        (5_000, [10_000, 10_000, 10_000], "unusual", "critical"),
        # days without rows are days, too
        (0, [0, 0, 0, 0], "normal", None),
        (4, [0, 0, 0, 0], "normal", None),
        (500, [0, 0, 0, 0], "unusual", "warning"),
        (0, [10_000, 0, 10_000, 0, 10_000], "unusual", "critical"),
        (0, [10_000, 5_000, 2_000, 8_000, 500], "unusual", "critical"),  # however wild the weeks before were
        (1, [10_000, 5_000, 2_000, 8_000, 500], "normal", None),
        # one bad week does not hide the next
        (5_000, [10_000, 100, 10_000, 10_100, 9_900], "unusual", "critical"),
        # growth of 5 % a week goes on
        (12_763, [12_155, 11_576, 11_025, 10_500, 10_000], "normal", None),
        (6_300, [12_155, 11_576, 11_025, 10_500, 10_000], "unusual", "warning"),
        # counts so small that chance alone makes them half or twice
        (3, [10, 9, 11, 10, 10], "normal", None),
        (20, [10, 9, 11, 10, 10], "normal", None),
        (40, [10, 9, 11, 10, 10], "unusual", "warning"),
    ],
)
def test_a_period_against_its_weekday(rows: int, before: list[int], status: str, severity: str | None) -> None:
    found = evaluate_volume(rows, before)
    assert (found.status, found.severity if found.status == "unusual" else None) == (status, severity)


@given(_COUNTS, st.lists(_COUNTS, min_size=3, max_size=8))
def test_the_band_is_the_median_and_the_robust_deviation_of_pandas(rows: int, before: list[int]) -> None:
    series = pd.Series(before, dtype="float64")
    median = series.median()
    half = max(4 * 1.4826 * (series - median).abs().median(), 0.25 * median, 5 * max(median, 1.0) ** 0.5)
    found = evaluate_volume(rows, before)
    assert found.expected == pytest.approx(median)
    assert found.lower == pytest.approx(max(0.0, median - half))
    assert found.upper == pytest.approx(median + half)
    outside = not max(0.0, median - half) <= rows <= median + half
    assert (found.status == "unusual") == (outside or (rows == 0 and median > 25))
    assert (found.rows, found.weeks) == (rows, len(before))
    assert found.change == (pytest.approx(rows / median - 1) if median else None)
    assert found.severity == ("critical" if median and rows <= median / 2 else "warning")


def test_several_slots_are_one_period_without_those_that_have_no_band() -> None:
    usual = [400, 404, 396]
    whole = combine([evaluate_volume(rows, usual) for rows in (200, 190, 210, 205)])
    assert (whole.rows, whole.expected, whole.lower, whole.upper) == (805, 1600, 1200, 2000)
    assert (whole.status, whole.severity, whole.direction) == ("unusual", "warning", "down")
    young = Volume("not_enough_history", 700, 2)
    assert combine([evaluate_volume(200, usual), young]) == Volume("unusual", 200, 3, 400.0, 300.0, 500.0)
    assert combine([young]).rows == 0


# --- staleness --------------------------------------------------------------------------------------------------------

NOON = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
MINUTE, HOUR, DAY = (datetime.timedelta(minutes=1), datetime.timedelta(hours=1), datetime.timedelta(days=1))
LIMITS = Limits(HOUR, 3 * HOUR)


@pytest.mark.parametrize(
    ("weeks", "days", "rows"),
    [
        ([], [], None),
        ([5, 5], [9, 9], None),
        ([5, 5], [9, 8, 7], 8),  # two weeks are not enough; the days before are
        ([40, 0, 41, 39, 42], [], 39),  # an outage in one week
        ([0, 0, 3, 0, 0], [50] * 7, 0),  # a slot that has events now and then
        ([7, 9, 8], [], 8),
    ],
)
def test_the_usual_rows_of_a_slot(weeks: list[int], days: list[int], rows: int | None) -> None:
    assert usual_rows(weeks, days) == rows


def level(silence: datetime.timedelta, usual: dict[int, int | None], limits: Limits = LIMITS) -> str:
    """How stale a source is after a silence until noon; `usual` are the rows of a slot by hour."""
    latest = NOON - silence
    slots = {slot: usual.get(slot.start.hour, 0) for slot in silent_slots(latest, NOON)}
    return staleness(latest, NOON, limits, slots)


BUSY: dict[int, int | None] = dict.fromkeys(range(24), 50)
UNKNOWN: dict[int, int | None] = dict.fromkeys(range(24))
SLEEPING: dict[int, int | None] = {hour: 0 if hour < 11 else 50 for hour in range(24)}
QUIET: dict[int, int | None] = dict.fromkeys(range(24), 1)


@pytest.mark.parametrize(
    ("silence", "usual", "expected"),
    [
        (59 * MINUTE, BUSY, "fresh"),
        (60 * MINUTE, BUSY, "warning"),
        (179 * MINUTE, BUSY, "warning"),
        (180 * MINUTE, BUSY, "critical"),
        (40 * DAY, BUSY, "critical"),
        # without history every hour counts
        (59 * MINUTE, UNKNOWN, "fresh"),
        (60 * MINUTE, UNKNOWN, "warning"),
        (180 * MINUTE, UNKNOWN, "critical"),
        # hours that usually have no events do not
        (12 * HOUR - MINUTE, SLEEPING, "warning"),
        (11 * HOUR, dict.fromkeys(range(24), 0), "fresh"),
        (9 * HOUR, {**SLEEPING, 11: 0}, "fresh"),
        # a few events may be missing by chance
        (60 * MINUTE, QUIET, "fresh"),
        (75 * MINUTE, QUIET, "warning"),
    ],
)
def test_only_hours_with_usual_events_count(
    silence: datetime.timedelta, usual: dict[int, int | None], expected: str
) -> None:
    assert level(silence, usual) == expected


def test_a_limit_of_a_day_or_more_counts_every_hour() -> None:
    nightly = Limits(26 * HOUR, 30 * HOUR)
    assert level(27 * HOUR, SLEEPING, nightly) == "warning"
    assert level(30 * HOUR, SLEEPING, nightly) == "critical"
    assert level(25 * HOUR, BUSY, nightly) == "fresh"


def test_a_source_without_any_event_is_critical() -> None:
    assert staleness(None, NOON, LIMITS, {}) == "critical"


def test_a_silence_touches_its_slots_of_the_last_three_days() -> None:
    assert silent_slots(NOON - 20 * MINUTE, NOON + MINUTE) == [Slot(NOON + number * SLOT) for number in (-2, -1, 0)]
    assert silent_slots(NOON, NOON) == []
    assert len(silent_slots(NOON - 40 * DAY, NOON)) == 3 * 96
