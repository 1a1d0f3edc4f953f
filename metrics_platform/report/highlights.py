"""What stands out on a day: the metrics outside their usual bands, ranked, and the slices that explain them. Pure.

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
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from metrics_platform.alerts.anomalies import Series as SliceKey
from metrics_platform.alerts.anomalies import Verdict, contributions_to
from metrics_platform.catalog_entries import Unit
from metrics_platform.notifications.kinds import Highlight

Series = Mapping[datetime.date, float | None]
Rows = Mapping[datetime.date, Mapping[str, float | None]]
# Numerator and denominator (None: no quotient) of a slice by its dimension and value, by day.
Slices = Mapping[tuple[str, str], Mapping[datetime.date, tuple[float | None, float | None]]]

# The metrics of `app_daily` by its columns, in the groups in which the report folds them.
GROUPS: Mapping[str, Sequence[str]] = {
    "audience": (
        "app_dau", "feed_dau", "messenger_dau", "feed_only", "messenger_only", "both_services", "wau", "mau",
        "stickiness",
    ),
    "activity": ("views", "likes", "ctr", "views_per_user", "likes_per_user"),
    "messenger": (
        "messages_sent", "senders", "receivers", "sent_per_sender", "received_per_receiver", "sent_received",
    ),
    "growth": ("new_users", "new_users_ads", "new_users_organic", "new_users_other"),
    "retention": ("retention_d1", "retention_d7"),
}  # fmt: skip
_UNITS: Mapping[str, Unit] = {
    "ctr": "share", "stickiness": "share", "retention_d1": "share", "retention_d7": "share",
    "views_per_user": "ratio", "likes_per_user": "ratio",
    "sent_per_sender": "ratio", "received_per_receiver": "ratio", "sent_received": "ratio",
}  # fmt: skip
DAILY_METRICS: Mapping[str, Unit] = {name: _UNITS.get(name, "count") for names in GROUPS.values() for name in names}

MAX_HIGHLIGHTS = 5
# Metrics that say the same news: the first that is unusual is shown, the others are named with it. Parts of them
# (feed only, new users by source) are left out, since with every metric more some day looks unusual by chance. So are
# WAU, MAU and stickiness: they repeat for weeks what happened on one day.
_FAMILIES: Sequence[Sequence[str]] = (
    ("app_dau", "feed_dau", "messenger_dau"),
    ("views", "likes"),
    ("ctr",),
    ("messages_sent",),
    ("new_users",),
    ("retention_d1",),
    ("retention_d7",),
)
_TRIALS = {"ctr": "views", "retention_d1": "cohort_d1", "retention_d7": "cohort_d7"}
# The metric of `metric_daily` whose slices explain a metric of `app_daily`.
_SLICE_METRICS = {
    "feed_dau": "feed_users", "views": "views", "likes": "likes", "ctr": "ctr",
    "messages_sent": "messages", "messenger_dau": "senders",
}  # fmt: skip

_DAY = datetime.timedelta(days=1)
_WEEK = datetime.timedelta(days=7)
_WEEKS = 8
_RESIDUAL_DAYS = 28
# A median of fewer weeks, or a spread of fewer days, means little.
_MIN_WEEKS = 3
_MIN_RESIDUALS = 7
_MAD_TO_SIGMA = 1.4826
_STRICT, _LARGE_CHANGE, _LOOSE = 3.3, math.log(1.1), 2.5
# Smaller changes are no news, however quiet the metric is: of counts, and of shares and ratios.
_MIN_CHANGE = {"count": math.log(1.03), "share": math.log(1.01), "ratio": math.log(1.02)}
# A record of fewer weeks is no news.
_RECORD_WEEKS = 4
# Days that an expectation looks back: the residuals, the weeks, and the week before the earliest of them.
LOOKBACK = datetime.timedelta(days=_RESIDUAL_DAYS + 7 * (_WEEKS + 1))


@dataclass(frozen=True)
class Expectation:
    """What was to be expected of a metric: the value, the band of usual values, and the deviation from it, signed."""

    value: float
    expected: float
    lower: float
    upper: float
    score: float

    @property
    def is_unusual(self) -> bool:
        return not self.lower <= self.value <= self.upper


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
    residuals = [abs(residual) for residual in _residuals(past, date)]
    if value is None or expected is None or expected <= 0 or len(residuals) < _MIN_RESIDUALS:
        return None
    noise = max(_MAD_TO_SIGMA * median(residuals), _sampling_noise(expected, unit, trials))
    half_width = _STRICT * noise
    if unit == "count":
        half_width = min(half_width, max(_LOOSE * noise, _LARGE_CHANGE))
    half_width = max(half_width, _MIN_CHANGE[unit])
    half_width *= 2 if date in holidays else 1
    # A count of 0 is as far away as half a thing, so a band that reaches below that includes it.
    smallest = 0.5 if unit == "count" else 1e-9
    deviation = math.log(max(value, smallest) / expected)
    lower = expected * math.exp(-half_width)
    return Expectation(
        value,
        expected,
        lower if lower > smallest else 0.0,
        expected * math.exp(half_width),
        deviation / max(noise, half_width / _STRICT),
    )


def _history(series: Series, date: datetime.date, holidays: Collection[datetime.date]) -> dict[datetime.date, float]:
    return {day: value for day, value in series.items() if day < date and value is not None and day not in holidays}


def _expected(past: Mapping[datetime.date, float], date: datetime.date) -> float | None:
    """The median of the same weekdays at today's level; None where there is too little history."""
    estimates = [
        past[earlier] * level
        for week in range(1, _WEEKS + 1)
        if (earlier := date - week * _WEEK) in past and (level := _level(past, date, earlier)) is not None
    ]
    return median(estimates) if len(estimates) >= _MIN_WEEKS else None


def _level(past: Mapping[datetime.date, float], date: datetime.date, earlier: datetime.date) -> float | None:
    """How the week before `date` compares with the week before `earlier`: days of the same weekdays."""
    pairs = ((past.get(date - number * _DAY), past.get(earlier - number * _DAY)) for number in range(1, 8))
    ratios = [current / previous for current, previous in pairs if current is not None and previous]
    return median(ratios) if ratios else None


def _residuals(past: Mapping[datetime.date, float], date: datetime.date) -> Iterator[float]:
    """The last days' logarithms of value / expected."""
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
    earlier_values = {day: earlier for day, earlier in series.items() if earlier is not None and day < date}
    if value is None or not earlier_values:
        return None
    weeks = (date - min(earlier_values)).days // 7
    for weekday, step in ((False, _DAY), (True, _WEEK)):
        for is_high in (True, False):
            day = date - step
            while day >= date - weeks * _WEEK:
                if day in earlier_values and (
                    earlier_values[day] >= value if is_high else earlier_values[day] <= value
                ):
                    break
                day -= step
            weeks_held = (date - day - step).days // 7
            if weeks_held >= _RECORD_WEEKS:
                return Record(is_high, weeks_held, weekday)
    return None


# --- what stands out --------------------------------------------------------------------------------------------------


def highlights(
    date: datetime.date,
    rows: Rows,
    *,
    holidays: Collection[datetime.date] = (),
    catalog_values: Rows | None = None,
    catalog_units: Mapping[str, Unit] | None = None,
) -> tuple[Highlight, ...] | None:
    """At most five metrics outside their bands, the furthest first; None where no metric has enough history.

    `rows` are those of `app_daily`, `catalog_values` those of the catalogue's own metrics, each of which is news of
    its own.
    """
    families: list[tuple[str, int | str, Unit, Rows]] = [
        (name, number, DAILY_METRICS[name], rows) for number, names in enumerate(_FAMILIES) for name in names
    ]
    families += [(name, name, unit, catalog_values or {}) for name, unit in (catalog_units or {}).items()]
    is_known = False
    unusual: dict[tuple[int | str, bool], list[Highlight]] = defaultdict(list)
    for name, family, unit, values in families:
        series = {day: row.get(name) for day, row in values.items()}
        trials = values.get(date, {}).get(_TRIALS[name]) if values is rows and name in _TRIALS else None
        expectation = expect(series, date, unit, trials=trials, holidays=holidays)
        is_known |= expectation is not None
        if expectation is not None and expectation.is_unusual:
            highlight = _highlight(name, unit, series, expectation, date, is_holiday=date in holidays)
            unusual[family, expectation.score > 0].append(highlight)
    ranked = sorted(unusual.values(), key=lambda members: -max(abs(member.score) for member in members))
    combined = (
        first.model_copy(update={"moved_with": tuple(other.metric for other in others)}) for first, *others in ranked
    )
    return tuple(combined)[:MAX_HIGHLIGHTS] if is_known else None


def _highlight(
    name: str, unit: Unit, series: Series, expectation: Expectation, date: datetime.date, *, is_holiday: bool
) -> Highlight:
    record = record_of(series, date)
    # A high that is still below its band is no explanation of why the value is low.
    if record is not None and record.is_high != (expectation.score > 0):
        record = None
    # The days, or the same weekdays, of the last eight weeks.
    back = range(7 * _WEEKS, -1, -7 if record and record.weekday else -1)
    return Highlight(
        metric=name,
        unit=unit,
        **vars(expectation),
        week_before=series.get(date - _WEEK),
        record_weeks=record.weeks if record else None,
        record_weekday=record is not None and record.weekday,
        trend=tuple(series.get(date - number * _DAY) for number in back) if record else (),
        is_holiday=is_holiday,
    )


# --- the slices that explain it ---------------------------------------------------------------------------------------


def explain_all(
    unexplained: Sequence[Highlight],
    date: datetime.date,
    read_slices: Callable[[str], Slices],
    holidays: Collection[datetime.date] = (),
) -> tuple[Highlight, ...]:
    """The highlights, each with the slices that explain it, where its metric has slices."""
    return tuple(
        _explain(highlight, date, read_slices(_SLICE_METRICS.get(highlight.metric, highlight.metric)), holidays)
        for highlight in unexplained
    )


def _explain(
    highlight: Highlight, date: datetime.date, slices: Slices, holidays: Collection[datetime.date]
) -> Highlight:
    """The highlight with the slices that carry its deviation."""
    verdicts = [
        verdict
        for (dimension, value), series in slices.items()
        if (verdict := _slice_verdict(SliceKey(highlight.metric, dimension, value), series, date, holidays))
    ]
    trials = None
    if any(verdict.trials is not None for verdict in verdicts):
        first = verdicts[0].series.dimension
        trials = sum(verdict.trials or 0.0 for verdict in verdicts if verdict.series.dimension == first)
    total = Verdict(SliceKey(highlight.metric), "", value=highlight.value, trials=trials, expected=highlight.expected)
    return highlight.model_copy(update={"contributions": contributions_to(total, verdicts)})


def _slice_verdict(
    key: SliceKey,
    series: Mapping[datetime.date, tuple[float | None, float | None]],
    date: datetime.date,
    holidays: Collection[datetime.date],
) -> Verdict | None:
    """How a slice compares with what was expected; None where that is not known.

    Of a count, a slice without a row of the day is 0. A quotient over nothing is unknown.
    """
    is_quotient = any(denominator is not None for _, denominator in series.values())
    if date not in series and is_quotient:
        return None
    numerator, denominator = series.get(date, (0.0, None))
    past = _history({day: _quotient(*pair) for day, pair in series.items()}, date, holidays)
    expected = _expected(past, date)
    if expected is None:
        return None
    return Verdict(key, "", value=_quotient(numerator, denominator), trials=denominator, expected=expected)


def _quotient(numerator: float | None, denominator: float | None) -> float | None:
    if denominator is None or numerator is None:
        return numerator
    return numerator / denominator if denominator else None
