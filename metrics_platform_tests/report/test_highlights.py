"""What stands out: quiet days stay quiet, planted events are named, and their slices explain them."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_platform.report.highlights import MAX_HIGHLIGHTS, expect, explain_all, highlights, record_of
from metrics_platform_tests.report.products import FIRST_DAY, Planted, product

DAYS = 120
LAST = FIRST_DAY + datetime.timedelta(days=DAYS - 1)
SEEDS = range(6)
AUDIENCE = {"app_dau", "feed_dau", "messenger_dau", "views", "likes", "messages_sent"}


def test_at_most_one_quiet_day_in_ten_is_called_unusual() -> None:
    days = unusual = 0
    for seed in SEEDS:
        rows = product(seed, DAYS)
        for back in range(0, 60, 6):
            found = highlights(LAST - datetime.timedelta(days=back), rows)
            assert found is not None
            days += 1
            unusual += bool(found)

    assert days == 60
    assert unusual / days <= 0.1


@pytest.mark.parametrize(
    ("planted", "metrics"),
    [("drop", AUDIENCE), ("launch", AUDIENCE), ("holiday", AUDIENCE), ("ctr_drop", {"ctr"})],
)
def test_a_planted_event_is_named_in_every_product(planted: Planted, metrics: set[str]) -> None:
    for seed in SEEDS:
        found = highlights(LAST, product(seed, DAYS, planted))
        assert found
        assert metrics & {highlight.metric for highlight in found}


def test_the_furthest_from_its_band_comes_first() -> None:
    found = highlights(LAST, product(1, DAYS, "launch"))

    assert found
    assert len(found) <= MAX_HIGHLIGHTS
    alone = [abs(highlight.score) for highlight in found if not highlight.moved_with]
    assert alone == sorted(alone, reverse=True)


def test_a_later_day_changes_nothing() -> None:
    rows = product(2, DAYS, "drop")
    before = LAST - datetime.timedelta(days=1)

    assert highlights(before, rows) == highlights(before, {day: row for day, row in rows.items() if day <= before})


def test_a_young_product_has_no_answer() -> None:
    assert highlights(FIRST_DAY + datetime.timedelta(days=20), product(3, 21)) is None


def test_metrics_of_the_catalogue_are_compared_too() -> None:
    rows = product(4, DAYS)
    values = {day: {"revenue": 1000.0 + day.weekday() * 10} for day in rows}
    values[LAST] = {"revenue": 300.0}

    found = highlights(LAST, rows, catalog_values=values, catalog_units={"revenue": "ratio"})

    assert found
    assert found[0].metric == "revenue"
    assert found[0].expected == pytest.approx(1000 + LAST.weekday() * 10)
    assert found[0].record_weeks is not None


def test_the_slice_that_fell_explains_the_fall() -> None:
    rows = product(5, DAYS, "drop")
    (fallen, *_) = [one for one in highlights(LAST, rows) or () if one.metric in {"app_dau", "feed_dau", "views"}]
    lost = fallen.expected - fallen.value
    slices = {("os", name): _slice(rows, fallen.metric, share) for name, share in (("Android", 0.6), ("iOS", 0.4))}
    slices["os", "Android"][LAST] = (fallen.expected * 0.6 - lost, None)
    slices["os", "iOS"][LAST] = (fallen.expected * 0.4, None)

    (explained,) = explain_all([fallen], LAST, lambda _: slices)

    assert explained.contributions[0].value == "Android"
    assert explained.contributions[0].share_of_change == pytest.approx(1, abs=0.25)


def _slice(
    rows: dict[datetime.date, dict[str, float | None]], metric: str, share: float
) -> dict[datetime.date, tuple[float | None, float | None]]:
    return {day: ((row[metric] or 0.0) * share, None) for day, row in rows.items()}


def test_a_share_without_events_on_the_day_is_unknown_and_a_count_is_zero() -> None:
    rows = product(5, DAYS, "ctr_drop")
    (fallen,) = [one for one in highlights(LAST, rows) or () if one.metric == "ctr"]
    before = [day for day in rows if day < LAST]
    slices = {("os", name): {day: (rows[day]["likes"], rows[day]["views"]) for day in before} for name in ("a", "b")}

    (explained,) = explain_all([fallen], LAST, lambda _: slices)

    assert explained.contributions == ()


@pytest.mark.parametrize(("planted", "days"), [("holiday", 57), ("launch", 9)])
def test_a_record_brings_the_days_or_the_weekdays_of_eight_weeks(planted: Planted, days: int) -> None:
    rows = product(1, DAYS, planted)
    for highlight in highlights(LAST, rows) or ():
        assert highlight.record_weeks
        assert len(highlight.trend) == days
        assert highlight.trend[-1] == highlight.value
        assert highlight.trend[0] == rows[LAST - datetime.timedelta(weeks=8)][highlight.metric]


SATURDAY = datetime.date(2026, 11, 28)  # a Saturday
DAY = datetime.timedelta(days=1)


def series_of(values: list[float | None], last: datetime.date = SATURDAY) -> dict[datetime.date, float | None]:
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

    found, oracle = expect(series, SATURDAY), by_pandas(series, SATURDAY)

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
    assert expect(series_of([1000.0] * 25), SATURDAY) is None
    assert expect(series_of([1000.0] * 30), SATURDAY) is not None


def test_a_missing_day_is_no_zero() -> None:
    values: list[float | None] = [1000.0] * 90
    values[-8] = values[-15] = None

    found = expect(series_of(values), SATURDAY)

    assert found.expected == 1000
    assert expect(series_of([1000.0] * 90 + [None]), SATURDAY) is None


def test_a_launch_becomes_the_expected_level_within_four_days() -> None:
    unusual = []
    for days_since in range(8):
        found = expect(series_of([1000.0] * 90 + [2000.0] * (days_since + 1)), SATURDAY)
        unusual.append(found.is_unusual)

    assert unusual == [True] * 4 + [False] * 4


def test_holidays_are_not_part_of_the_history() -> None:
    values: list[float | None] = [1000.0] * 90
    weeks = [SATURDAY - week * 7 * DAY for week in (1, 2, 3, 4, 5, 6, 7)]
    series = series_of(values) | dict.fromkeys(weeks, 300.0)

    plain, aware = expect(series, SATURDAY), expect(series, SATURDAY, holidays=weeks)

    assert plain.expected < 500
    assert aware is None or aware.expected == 1000


def test_a_holiday_has_a_band_twice_as_wide() -> None:
    series = series_of([1000.0, 1020.0, 990.0] * 30)

    usual, holiday = expect(series, SATURDAY), expect(series, SATURDAY, holidays=[SATURDAY])

    assert np.log(holiday.upper / holiday.expected) == pytest.approx(2 * np.log(usual.upper / usual.expected))


def test_a_share_of_a_small_cohort_scatters_by_chance() -> None:
    values: list[float | None] = [0.4] * 90 + [0.3]

    small, large = (expect(series_of(values), SATURDAY, "share", trials=trials) for trials in (50, 50_000))

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
    record = record_of(series_of(values), SATURDAY)

    assert (record.is_high, record.weeks, record.weekday) == (is_high, weeks, weekday)


@pytest.mark.parametrize("values", [[10.0] * 20 + [11.0], [10.0] * 43, [11.0] * 20 + [10.0] * 22 + [11.0]])
def test_a_value_reached_within_four_weeks_is_no_record(values: list[float | None]) -> None:
    assert record_of(series_of(values), SATURDAY) is None


def test_a_count_of_zero_where_one_is_usual_does_not_stand_out() -> None:
    series = {LAST - datetime.timedelta(days=back): float(back * 7 % 3) for back in range(1, DAYS)}

    usual = expect({**series, LAST: 0.0}, LAST)

    assert usual is not None
    assert (usual.lower, usual.is_unusual) == (0.0, False)
    many = {day: 20 + value for day, value in series.items()}
    outage = expect({**many, LAST: 0.0}, LAST)
    assert outage is not None
    assert outage.is_unusual
