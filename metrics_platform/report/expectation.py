"""The value to be expected of a metric on a day, and the band that usual days stay in. Pure.

*Expected* is the median over the same weekday of the last eight weeks, each brought to today's level: the median ratio
of the last seven days to the seven days before that earlier day, weekday by weekday. A single outage moves neither
median, and a launch is followed within four days.

*Noise* is the median deviation from such expectations on the last 28 days. Deviations are taken as logarithms of
value / expected, so that one rule fits 50 users and 50 million. A value is *unusual* outside the band: 3.3 deviations,
or 2.5 where a count changes by at least 10 %. With ten metrics that calls about one quiet day in twenty unusual.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from statistics import median

Series = Mapping[datetime.date, float | None]

_DAY = datetime.timedelta(days=1)
_WEEK = datetime.timedelta(days=7)
WEEKS = 8
_RESIDUAL_DAYS = 28
# A median of fewer weeks, or a spread of fewer days, means little.
_LEAST_WEEKS = 3
_LEAST_RESIDUALS = 7
_MAD_TO_SIGMA = 1.4826
_STRICT, _LARGE_CHANGE, _LOOSE = 3.3, math.log(1.1), 2.5
# Smaller changes are no news, however quiet the metric is: of counts, and of shares and ratios.
_LEAST_CHANGE = {"count": math.log(1.03), "share": math.log(1.01), "ratio": math.log(1.02)}
# A record of fewer weeks is no news.
_RECORD_WEEKS = 4
# Days that an expectation looks back: the residuals, the weeks, and the week before the earliest of them.
LOOKBACK = datetime.timedelta(days=_RESIDUAL_DAYS + 7 * (WEEKS + 1))


@dataclass(frozen=True)
class Expectation:
    """What was to be expected of a metric on a day.

    Attributes:
        value: the value of the day.
        expected: the expected value; lower, upper: the band of usual values.
        score: how many deviations the value is away from it, signed.
    """

    value: float
    expected: float
    lower: float
    upper: float
    score: float

    @property
    def is_unusual(self) -> bool:
        """Whether the value is outside the band."""
        return not self.lower <= self.value <= self.upper

    @property
    def change(self) -> float:
        """The deviation as a share of the expected value."""
        return self.value / self.expected - 1


def expect(
    series: Series,
    date: datetime.date,
    unit: str = "count",
    *,
    trials: float | None = None,
    holidays: Collection[datetime.date] = (),
) -> Expectation | None:
    """Compare the value of `date` with the days before it; None where it, or enough history, is missing.

    `trials` is the denominator of a share, such as the size of a retention cohort: small ones scatter. Holidays are no
    part of the history, and a holiday's own band is twice as wide.
    """
    value = series.get(date)
    past = _history(series, date, holidays)
    expected = _expected(past, date)
    if value is None or expected is None or expected <= 0:
        return None
    noise = _noise(past, date)
    if noise is None:
        return None
    noise = max(noise, _sampling_noise(expected, unit, trials))
    half = _STRICT * noise
    if unit == "count":
        half = min(half, max(_LOOSE * noise, _LARGE_CHANGE))
    half = max(half, _LEAST_CHANGE[unit])
    half *= 2 if date in holidays else 1
    deviation = math.log(max(value, 0.5 if unit == "count" else 1e-9) / expected)
    return Expectation(
        value, expected, expected * math.exp(-half), expected * math.exp(half), deviation / max(noise, half / _STRICT)
    )


def expected_value(series: Series, date: datetime.date, holidays: Collection[datetime.date] = ()) -> float | None:
    """The value to be expected on `date`; None where there is too little history."""
    return _expected(_history(series, date, holidays), date)


def _history(series: Series, date: datetime.date, holidays: Collection[datetime.date]) -> dict[datetime.date, float]:
    return {day: value for day, value in series.items() if day < date and value is not None and day not in holidays}


def _expected(past: Mapping[datetime.date, float], date: datetime.date) -> float | None:
    """The median of the same weekdays at today's level."""
    found = [
        past[earlier] * level
        for week in range(1, WEEKS + 1)
        if (earlier := date - week * _WEEK) in past and (level := _level(past, date, earlier)) is not None
    ]
    return median(found) if len(found) >= _LEAST_WEEKS else None


def _level(past: Mapping[datetime.date, float], date: datetime.date, earlier: datetime.date) -> float | None:
    """How the week before `date` compares with the week before `earlier`: days of the same weekdays."""
    pairs = ((past.get(date - number * _DAY), past.get(earlier - number * _DAY)) for number in range(1, 8))
    ratios = [now / then for now, then in pairs if now is not None and then]
    return median(ratios) if ratios else None


def _noise(past: Mapping[datetime.date, float], date: datetime.date) -> float | None:
    """The spread of the last days' logarithms of value / expected; None: too few of them are known."""
    residuals = [abs(residual) for residual in _residuals(past, date)]
    return _MAD_TO_SIGMA * median(residuals) if len(residuals) >= _LEAST_RESIDUALS else None


def _residuals(past: Mapping[datetime.date, float], date: datetime.date) -> Iterator[float]:
    for number in range(1, _RESIDUAL_DAYS + 1):
        day = date - number * _DAY
        if day in past and past[day] > 0:
            expected = _expected(past, day)  # it reads days before `day` only
            if expected:
                yield math.log(past[day] / expected)


def _sampling_noise(expected: float, unit: str, trials: float | None) -> float:
    """The relative noise that chance alone makes: of a count, and of a share of few trials."""
    if unit == "count":
        return 1 / math.sqrt(expected)
    if unit == "share" and trials and expected < 1:
        return math.sqrt((1 - expected) / (expected * trials))
    return 0.0


@dataclass(frozen=True)
class Record:
    """The highest or lowest value for a while: of all days, or of the same weekday (`weekday`), in whole weeks."""

    is_high: bool
    weeks: int
    weekday: bool


def record_of(series: Series, date: datetime.date) -> Record | None:
    """The value's rank among the days before it, from four weeks on; None where it is no record."""
    value = series.get(date)
    if value is None:
        return None
    known = [day for day, earlier in series.items() if earlier is not None and day < date]
    weeks = (date - min(known)).days // 7 if known else 0
    for weekday, step in ((False, _DAY), (True, _WEEK)):
        for is_high in (True, False):
            lasted = _record_days(series, date, step, weeks, is_high=is_high) // 7
            if lasted >= _RECORD_WEEKS:
                return Record(is_high, lasted, weekday)
    return None


def _record_days(series: Series, date: datetime.date, step: datetime.timedelta, weeks: int, *, is_high: bool) -> int:
    """For how many days before `date` every known value was lower (or higher)."""
    value = series[date]
    assert value is not None
    day = date - step
    while day >= date - weeks * _WEEK:
        earlier = series.get(day)
        if earlier is not None and (earlier >= value if is_high else earlier <= value):
            break
        day -= step
    return (date - day - step).days
