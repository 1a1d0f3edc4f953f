"""The expected value of a day and its band, against an independent computation in pandas."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_platform.report.highlights import expect, record_of

LAST = datetime.date(2026, 11, 28)  # a Saturday
DAY = datetime.timedelta(days=1)


def series_of(values: list[float | None], last: datetime.date = LAST) -> dict[datetime.date, float | None]:
    """The values on the days that end with `last`."""
    return {last - (len(values) - 1 - number) * DAY: value for number, value in enumerate(values)}


def by_pandas(series: dict[datetime.date, float | None], date: datetime.date) -> tuple[float, float] | None:
    """Expected value and noise, computed with shifted columns in place of loops over days."""
    index = pd.date_range(min(series), date)
    values = pd.Series({pd.Timestamp(day): value for day, value in series.items()}, dtype=float).reindex(index)
    positive = values.where(values != 0)
    candidates = {}
    for week in range(1, 9):
        earlier = values.shift(7 * week)
        ratios = pd.concat({lag: positive.shift(lag) / positive.shift(7 * week + lag) for lag in range(1, 8)}, axis=1)
        candidates[week] = earlier * ratios.median(axis=1)
    table = pd.concat(candidates, axis=1)
    expected = table.median(axis=1).where(table.count(axis=1) >= 3)
    residuals = np.log(positive / expected.where(expected > 0)).iloc[-29:-1].abs().dropna()
    if len(residuals) < 7 or not expected.iloc[-1] > 0:
        return None
    return float(expected.iloc[-1]), float(1.4826 * residuals.median())


@given(
    st.lists(st.one_of(st.none(), st.floats(1, 1e7)), min_size=1, max_size=110),
    st.floats(1, 1e7),
)
def test_expected_value_and_band_equal_pandas(values: list[float | None], value: float) -> None:
    series = series_of([*values, value])

    found, oracle = expect(series, LAST), by_pandas(series, LAST)

    assert (found is None) == (oracle is None)
    if found is not None and oracle is not None:
        expected, noise = oracle
        noise = max(noise, expected**-0.5)
        half = max(np.log(1.03), min(3.3 * noise, max(2.5 * noise, np.log(1.1))))
        assert found.expected == pytest.approx(expected)
        assert found.lower == pytest.approx(expected * np.exp(-half))
        assert found.upper == pytest.approx(expected * np.exp(half))
        assert found.is_unusual == (not found.lower <= value <= found.upper)


def test_too_little_history_gives_no_expectation() -> None:
    assert expect(series_of([1000.0] * 25), LAST) is None
    assert expect(series_of([1000.0] * 30), LAST) is not None


def test_a_missing_day_is_no_zero() -> None:
    values: list[float | None] = [1000.0] * 90
    values[-8] = values[-15] = None

    found = expect(series_of(values), LAST)

    assert found.expected == 1000
    assert expect(series_of([1000.0] * 90 + [None]), LAST) is None


def test_a_launch_becomes_the_expected_level_within_four_days() -> None:
    unusual = []
    for days_since in range(8):
        found = expect(series_of([1000.0] * 90 + [2000.0] * (days_since + 1)), LAST)
        unusual.append(found.is_unusual)

    assert unusual == [True] * 4 + [False] * 4


def test_holidays_are_not_part_of_the_history() -> None:
    values: list[float | None] = [1000.0] * 90
    weeks = [LAST - week * 7 * DAY for week in (1, 2, 3, 4, 5, 6, 7)]
    series = series_of(values) | dict.fromkeys(weeks, 300.0)

    plain, aware = expect(series, LAST), expect(series, LAST, holidays=weeks)

    assert plain.expected < 500
    assert aware is None or aware.expected == 1000


def test_a_holiday_has_a_band_twice_as_wide() -> None:
    series = series_of([1000.0, 1020.0, 990.0] * 30)

    usual, holiday = expect(series, LAST), expect(series, LAST, holidays=[LAST])

    assert np.log(holiday.upper / holiday.expected) == pytest.approx(2 * np.log(usual.upper / usual.expected))


def test_a_share_of_a_small_cohort_scatters_by_chance() -> None:
    values: list[float | None] = [0.4] * 90 + [0.3]

    small, large = (expect(series_of(values), LAST, "share", trials=trials) for trials in (50, 50_000))

    assert not small.is_unusual
    assert large.is_unusual


@pytest.mark.parametrize(
    ("values", "is_high", "weeks", "weekday"),
    [
        ([10.0] * 42 + [11.0], True, 6, False),
        ([10.0] * 42 + [9.0], False, 6, False),
        ([*([5.0] + [9.0] * 6) * 5, 6.0], True, 5, True),
        ([*([8.0] + [5.0] * 6) * 5, 6.0], False, 5, True),
    ],
)
def test_a_record_names_its_weeks(values: list[float | None], is_high: bool, weeks: int, weekday: bool) -> None:
    record = record_of(series_of(values), LAST)

    assert (record.is_high, record.weeks, record.weekday) == (is_high, weeks, weekday)


@pytest.mark.parametrize("values", [[10.0] * 20 + [11.0], [10.0] * 43, [11.0] * 20 + [10.0] * 22 + [11.0]])
def test_a_value_reached_within_four_weeks_is_no_record(values: list[float | None]) -> None:
    assert record_of(series_of(values), LAST) is None
