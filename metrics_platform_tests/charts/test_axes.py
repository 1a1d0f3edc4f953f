"""Where axes begin and end, their ticks, and where the value beside a point is put."""

from __future__ import annotations

import datetime
import math
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_platform.catalog_entries import Unit
from metrics_platform.charts.label import nearest_free, taken_heights
from metrics_platform.charts.model import Band, Panel
from metrics_platform.charts.time_scale import ticks_of, time_scale
from metrics_platform.charts.value_scale import ValueScale, value_scale, value_text
from metrics_platform.formats import Language, formats_for
from metrics_platform_tests.charts.pictures import QUARTER, days, panel, slots

UTC = ZoneInfo("UTC")


def scale_of(one: Panel, language: Language = "en") -> ValueScale:
    return value_scale(one, formats_for(language), most_ticks=5, headroom=0.2)


@pytest.mark.parametrize("values", [[100, 60, 20], [0, 0, 0], [5, 5, 5], [3], [0, 1e9], [1000, 1000.5]])
def test_counts_start_at_zero(values: list[float]) -> None:
    scale = scale_of(panel(values))
    assert scale.bottom == 0
    assert not scale.broken
    assert scale.ticks[0] == 0


def test_an_axis_leaves_zero_only_where_variation_would_not_be_seen_and_says_so() -> None:
    scale = scale_of(panel([22_104, 21_900, 22_500]))
    assert 0 < scale.bottom < 21_900
    assert scale.broken


def test_noise_does_not_become_a_drama() -> None:
    scale = scale_of(panel([100_000, 100_300, 99_900]))
    assert (scale.top - scale.bottom) > 0.03 * 100_000


def test_a_negative_value_is_inside_the_axis_and_zero_too() -> None:
    scale = scale_of(panel([-5, 10], unit="ratio"))
    assert scale.bottom <= -5
    assert 0 in scale.ticks


def test_a_band_below_zero_does_not_push_the_axis_below_zero() -> None:
    band = Band(label="expected", lower=(-50, -50), upper=(50, 50))
    assert scale_of(panel([10, 20], band=band)).bottom == 0


def test_a_band_far_above_the_lines_does_not_flatten_them() -> None:
    band = Band(label="expected", lower=(0, 0), upper=(1e6, 1e6))
    assert scale_of(panel([10, 20], band=band)).top < 100


def test_the_band_is_the_axis_where_everything_is_zero() -> None:
    band = Band(label="expected", lower=(80, 80), upper=(120, 120))
    assert scale_of(panel([0, 0], band=band)).top >= 120


def test_no_share_above_a_hundred_per_cent_has_a_tick() -> None:
    assert max(scale_of(panel([0.2, 1.0], unit="share")).ticks) <= 1


@pytest.mark.parametrize(
    ("values", "unit", "language", "last_tick", "written_once"),
    [
        ([0, 617_487], "count", "en", "600K", ""),
        ([0, 617_487], "count", "ru", "600", "тыс."),
        ([0, 1.2e9], "count", "en", "1.5B", ""),
        ([0, 1.2e9], "count", "ru", "1,5", "млрд"),
        ([0, 0.2], "share", "en", "20%", ""),
        ([0, 1.6], "ratio", "ru", "1,5", ""),
        ([0, 3], "count", "en", "3", ""),
    ],
)
def test_ticks_are_short(
    values: list[float], unit: Unit, language: Language, last_tick: str, written_once: str
) -> None:
    scale = scale_of(panel(values, unit=unit), language)
    assert last_tick in scale.texts
    assert scale.unit == written_once


@given(
    values=st.lists(st.floats(-1e15, 1e15) | st.floats(0, 1) | st.integers(0, 10), min_size=1, max_size=5),
    unit=st.sampled_from(["count", "share", "ratio"]),
)
def test_any_values_lie_within_few_and_different_ticks(values: list[float], unit: Unit) -> None:
    scale = scale_of(panel(values, unit=unit))
    unseen = 1e-8 * (1 + scale.top - scale.bottom)  # far less than a pixel
    assert scale.bottom <= min(values) + unseen
    assert max(values) <= scale.top
    assert 1 <= len(scale.ticks) <= 5
    assert all(scale.bottom - 1e-9 * abs(scale.bottom) <= tick <= scale.top for tick in scale.ticks)
    assert len(set(scale.texts)) == len(scale.texts)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (4812, "count", "4,812"),
        (617_487, "count", "617K"),
        (0, "count", "0"),
        (0, "share", "0%"),
        (0.2016, "share", "20.2%"),
        (0.0004, "share", "0.04%"),
        (1.02, "ratio", "1.02"),
    ],
)
def test_a_value_is_exact_while_it_is_short(value: float, unit: Unit, text: str) -> None:
    assert value_text(value, unit, formats_for("en")) == text


def tick_texts(one: Panel, zone: str = "UTC", most: int = 8) -> list[str]:
    ticks = ticks_of(time_scale(one, ZoneInfo(zone)), formats_for("en"), lambda ticks: len(ticks) <= most)
    return [tick.text for tick in ticks]


def test_days_are_written_as_days_and_the_last_one_always_is() -> None:
    week = panel([1] * 7)
    assert tick_texts(week, most=3) == ["15 Nov", "18 Nov", "21 Nov"]
    assert tick_texts(week, most=2) == ["15 Nov", "21 Nov"]
    assert tick_texts(week, most=0) == ["21 Nov"]


def test_hours_are_written_in_the_zone_and_midnight_as_the_day_that_begins() -> None:
    day = panel([1] * 96, times=slots(96))
    assert tick_texts(day, "Europe/Moscow", most=6) == ["12:00", "16:00", "20:00", "21 Nov", "04:00", "08:00"]
    assert tick_texts(day, "Asia/Kathmandu", most=6)[0] == "16:00"


def test_an_hour_that_the_clocks_skip_is_not_written() -> None:
    spring = datetime.datetime(2026, 3, 8, 5, tzinfo=datetime.UTC)  # midnight in New York; 02:00 does not exist
    hours = tuple(spring + datetime.timedelta(hours=hour) for hour in range(6))
    written = tick_texts(panel([1] * 6, times=hours), "America/New_York")
    assert written == ["8 Mar", "01:00", "03:00", "04:00", "05:00", "06:00", "07:00"]


@given(count=st.integers(1, 400), step=st.sampled_from([1, 60, 900, 3600, 86_400]), most=st.integers(1, 8))
def test_there_are_one_to_eight_ticks_on_the_axis(count: int, step: int, most: int) -> None:
    first = slots(1)[0]
    times = tuple(first + number * datetime.timedelta(seconds=step) for number in range(count))
    scale = time_scale(panel([1] * count, times=times), UTC)
    ticks = ticks_of(scale, formats_for("en"), lambda ticks: len(ticks) <= most)
    assert 1 <= len(ticks) <= 8
    assert all(scale.start <= tick.position <= scale.end for tick in ticks)


def test_a_day_or_slot_that_is_not_in_the_times_is_a_gap() -> None:
    kept = (*days(7)[:3], *days(7)[5:])
    assert time_scale(panel([1] * 5, times=kept), UTC).gap_after == (False, False, True, False, False)
    later = (*slots(4)[:2], slots(4)[3], slots(4)[3] + QUARTER)
    assert time_scale(panel([1] * 4, times=later), UTC).gap_after == (False, True, False, False)


def test_a_slot_stands_in_its_own_middle() -> None:
    scale = time_scale(panel([1] * 4, times=slots(4)), UTC)
    assert scale.positions[0] == pytest.approx(0.125)
    assert scale.end == pytest.approx(1.0)


def test_weekends_are_saturdays_and_sundays_of_days_only() -> None:
    spans = time_scale(panel([1] * 7), UTC).weekends()
    assert [datetime.date.fromordinal(round((start + end) / 2)).day for start, end in spans] == [15, 21]
    assert time_scale(panel([1] * 96, times=slots(96)), UTC).weekends() == []
    assert time_scale(panel([1] * 400), UTC).weekends() == []


def test_a_text_takes_the_nearest_place_and_the_upper_of_two() -> None:
    assert nearest_free(50, 10, [(45, 55)], (0, 100)) == 60
    assert nearest_free(50, 10, [(45, 55), (56, 90)], (0, 100)) == 40
    assert nearest_free(0, 10, [], (0, 100)) == 5
    assert nearest_free(50, 10, [(0, 100)], (0, 100)) is None


heights = st.floats(-50, 150)


@given(
    taken=st.lists(st.tuples(heights, heights).map(lambda pair: (min(pair), max(pair))), max_size=6),
    wanted=st.floats(0, 100),
    height=st.floats(1, 40),
)
def test_no_place_that_is_taken_is_given(taken: list[tuple[float, float]], wanted: float, height: float) -> None:
    place = nearest_free(wanted, height, taken, (0, 100))
    if place is not None:
        assert height / 2 <= place <= 100 - height / 2
        assert not any(low + 1e-9 < place + height / 2 and place - height / 2 < high - 1e-9 for low, high in taken)


def test_a_line_takes_the_heights_it_passes_and_a_gap_takes_none() -> None:
    assert taken_heights([(0, 0), (10, 10)], 4, 6, 0) == [(4, 6)]
    assert taken_heights([(0, 0), (math.nan, math.nan), (10, 10)], 4, 6, 0) == []
