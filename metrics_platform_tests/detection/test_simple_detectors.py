"""`day_over_day` and `iqr` against plain loops in pandas, and what they must never do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_platform.detection import day_over_day, iqr
from metrics_platform.detection.config import DayOverDay, DetectorConfig, Iqr
from metrics_platform.detection.series import SLOTS_A_DAY, Reason, SlotSeries, Status
from metrics_platform_tests.detection.histories import START, UTC, flat, reasons, statuses

_VALUES = st.one_of(st.integers(0, 40).map(float), st.just(float("nan")))


def _compared(least: float, **given: float) -> DetectorConfig:
    return DetectorConfig(day_over_day=DayOverDay(**given), minimum_volume=least)


def _day_over_day(values: list[float], threshold: float, least: float) -> list[Status]:
    """By the words of docs/metrics.md, slot by slot, the base found by its time."""
    times = pd.date_range(START, periods=len(values), freq="15min")
    known = pd.Series(values, index=times)
    found = []
    for moment, value in known.items():
        base = known.get(moment - pd.Timedelta(hours=24), np.nan)
        if np.isnan(value):
            found.append(Status.UNKNOWN)
        elif np.isnan(base):
            found.append(Status.NOT_ENOUGH_HISTORY)
        elif base == 0:
            found.append(Status.ANOMALOUS if value >= least and value > 0 else Status.NORMAL)
        else:
            found.append(Status.ANOMALOUS if abs(value - base) > base * threshold / 100 else Status.NORMAL)
    return found


@given(
    values=st.lists(_VALUES, min_size=1, max_size=150).map(lambda part: (part * 150)[:150]),
    threshold=st.sampled_from([30.0, 50.0, 100.0]),
    least=st.sampled_from([0.0, 1.0, 20.0]),
)
def test_day_over_day_equals_the_words_of_its_description(values: list[float], threshold: float, least: float) -> None:
    found = day_over_day.evaluate(flat(values), len(values), _compared(least, threshold_pct=threshold))
    assert statuses(found) == _day_over_day(values, threshold, least)


def test_day_over_day_never_divides_by_a_base_of_zero() -> None:
    values = [0.0] * SLOTS_A_DAY + [0.0, 9.0, 10.0]
    found = day_over_day.evaluate(flat(values), 3, DetectorConfig())
    assert statuses(found) == [Status.NORMAL, Status.NORMAL, Status.ANOMALOUS]
    assert reasons(found)[-1] == Reason.FROM_ZERO
    assert np.isnan(found.score).all()
    assert np.isfinite(found.upper).all()


def test_day_over_day_of_a_rate_looks_at_the_trials_behind_it() -> None:
    likes, views = [0.0] * SLOTS_A_DAY + [1.0, 30.0], [100.0] * SLOTS_A_DAY + [3.0, 200.0]
    series = SlotSeries(START, UTC, np.array(likes)[:, None], np.array(views)[:, None])
    assert statuses(day_over_day.evaluate(series, 2, _compared(100.0))) == [Status.NORMAL, Status.ANOMALOUS]


def _iqr(values: list[float], n: int, a: float) -> list[Status]:
    known = pd.Series(values, dtype=float)
    before = known.shift(1).rolling(n)
    low, high = before.quantile(0.25), before.quantile(0.75)
    spread = high - low
    lower, upper = (low - a * spread).rolling(n).mean(), (high + a * spread).rolling(n).mean()
    found = []
    for value, bottom, top, width in zip(known, lower, upper, spread, strict=True):
        if np.isnan(value):
            found.append(Status.UNKNOWN)
        elif np.isnan(bottom) or np.isnan(top):
            found.append(Status.NOT_ENOUGH_HISTORY)
        else:
            far = value < bottom - 1e-9 or value > top + 1e-9
            found.append(Status.ANOMALOUS if width > 0 and far else Status.NORMAL)
    return found


@given(
    values=st.lists(st.one_of(*[_VALUES] * 5, st.just(500.0)), min_size=1, max_size=80),
    n=st.sampled_from([2, 5, 8]),
    a=st.sampled_from([1.0, 2.0, 4.0]),
)
def test_iqr_equals_the_words_of_its_description(values: list[float], n: int, a: float) -> None:
    found = iqr.evaluate(flat(values), len(values), DetectorConfig(iqr=Iqr(n=n, a=a)))
    assert statuses(found) == _iqr(values, n, a)


@pytest.mark.parametrize("value", [0.0, 50.0, 5000.0])
def test_iqr_never_fires_where_the_quartiles_are_equal(value: float) -> None:
    assert statuses(iqr.evaluate(flat([50.0] * 20 + [value]), 1, DetectorConfig())) == [Status.NORMAL]
