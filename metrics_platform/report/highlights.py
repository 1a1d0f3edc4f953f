"""What stands out on a day: the metrics outside their usual bands, ranked, and the slices that explain them. Pure."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from metrics_platform.alerts.anomalies import Series as SliceKey
from metrics_platform.alerts.anomalies import Verdict, contributions_to
from metrics_platform.catalog_entries import Unit
from metrics_platform.notifications.kinds import Highlight
from metrics_platform.report.expectation import (
    WEEKS,
    Expectation,
    Record,
    Series,
    expect,
    expected_value,
    record_of,
)
from metrics_platform.report.metrics import DAILY_METRICS

MOST_HIGHLIGHTS = 5
# Metrics that say the same news: the first that is unusual is shown, the others are named with it. Parts of them
# (feed only, new users by source) are left out, since with every metric more some day looks unusual by chance. So are
# WAU, MAU and stickiness: they repeat for weeks what happened on one day.
FAMILIES: Sequence[Sequence[str]] = (
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
SLICED_AS = {
    "feed_dau": "feed_users", "views": "views", "likes": "likes", "ctr": "ctr",
    "messages_sent": "messages", "messenger_dau": "senders",
}  # fmt: skip

Rows = Mapping[datetime.date, Mapping[str, float | None]]
# Numerator and denominator (None: no quotient) of a slice by its dimension and value, by day.
Slices = Mapping[tuple[str, str], Mapping[datetime.date, tuple[float | None, float | None]]]


@dataclass(frozen=True)
class _Metric:
    name: str
    unit: Unit
    family: int
    series: Series
    trials: float | None


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
    metrics = [*_builtin_metrics(date, rows), *_catalog_metrics(catalog_values or {}, catalog_units or {})]
    found = [(metric, compared) for metric in metrics if (compared := _expectation(metric, date, holidays))]
    if not found:
        return None
    news: dict[tuple[int, bool], list[tuple[_Metric, Expectation]]] = defaultdict(list)
    for metric, compared in found:
        if compared.is_unusual:
            news[metric.family, compared.score > 0].append((metric, compared))
    ranked = sorted(news.values(), key=lambda members: -max(abs(compared.score) for _, compared in members))
    return tuple(_highlight(members, date, is_holiday=date in holidays) for members in ranked[:MOST_HIGHLIGHTS])


def explain_all(
    found: Sequence[Highlight],
    date: datetime.date,
    read_slices: Callable[[str], Slices],
    holidays: Collection[datetime.date] = (),
) -> tuple[Highlight, ...]:
    """The highlights, each with the slices that explain it, where its metric has slices."""
    return tuple(
        _explained(highlight, date, read_slices(SLICED_AS.get(highlight.metric, highlight.metric)), holidays)
        for highlight in found
    )


def _explained(
    highlight: Highlight, date: datetime.date, slices: Slices, holidays: Collection[datetime.date]
) -> Highlight:
    """The highlight with the slices that carry its deviation."""
    found = [
        verdict
        for (dimension, value), series in slices.items()
        if (verdict := _slice_verdict(SliceKey(highlight.metric, dimension, value), series, date, holidays))
    ]
    trials = None
    if any(verdict.trials is not None for verdict in found):
        first = found[0].series.dimension
        trials = sum(verdict.trials or 0.0 for verdict in found if verdict.series.dimension == first)
    key = SliceKey(highlight.metric, "total", "total")
    total = Verdict(key, "", value=highlight.value, trials=trials, expected=highlight.expected)
    return highlight.model_copy(update={"contributions": contributions_to(total, found)})


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
    expected = expected_value({day: _quotient(*pair) for day, pair in series.items()}, date, holidays)
    if expected is None:
        return None
    return Verdict(key, "", value=_quotient(numerator, denominator), trials=denominator, expected=expected)


def _quotient(numerator: float | None, denominator: float | None) -> float | None:
    if denominator is None or numerator is None:
        return numerator
    return numerator / denominator if denominator else None


def _builtin_metrics(date: datetime.date, rows: Rows) -> Iterable[_Metric]:
    for family, names in enumerate(FAMILIES):
        for name in names:
            yield _Metric(
                name=name,
                unit=DAILY_METRICS[name],
                family=family,
                series={day: row.get(name) for day, row in rows.items()},
                trials=rows.get(date, {}).get(_TRIALS.get(name, "")),
            )


def _catalog_metrics(values: Rows, units: Mapping[str, Unit]) -> Iterable[_Metric]:
    for number, (name, unit) in enumerate(units.items()):
        series = {day: row.get(name) for day, row in values.items()}
        yield _Metric(name, unit, len(FAMILIES) + number, series, None)


def _expectation(metric: _Metric, date: datetime.date, holidays: Collection[datetime.date]) -> Expectation | None:
    return expect(metric.series, date, metric.unit, trials=metric.trials, holidays=holidays)


def _highlight(members: Sequence[tuple[_Metric, Expectation]], date: datetime.date, *, is_holiday: bool) -> Highlight:
    """The first metric of a family that moved, with the names of the others."""
    metric, compared = members[0]
    record = record_of(metric.series, date)
    # A high that is still below its band is no explanation of why the value is low.
    if record is not None and record.is_high != (compared.score > 0):
        record = None
    return Highlight(
        metric=metric.name,
        unit=metric.unit,
        value=compared.value,
        expected=compared.expected,
        lower=compared.lower,
        upper=compared.upper,
        score=compared.score,
        week_before=metric.series.get(date - datetime.timedelta(days=7)),
        record_weeks=record.weeks if record else None,
        record_weekday=record is not None and record.weekday,
        trend=_trend(metric.series, date, record) if record else (),
        is_holiday=is_holiday,
        moved_with=tuple(other.name for other, _ in members[1:]),
    )


def _trend(series: Series, date: datetime.date, record: Record) -> tuple[float | None, ...]:
    """The days, or the same weekdays, of the last eight weeks, oldest first."""
    step = 7 if record.weekday else 1
    return tuple(series.get(date - datetime.timedelta(days=back)) for back in range(7 * WEEKS, -1, -step))
