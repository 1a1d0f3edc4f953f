"""From the rows of `app_daily` to the facts of a report: what stands out, values, changes, and problems of the data.

Everything is looked up by its date over a complete calendar. A day without a row is missing: it is None, never 0, and
shifts nothing.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from metrics_platform.notifications.kinds import (
    DailyReport,
    DayIncident,
    Highlight,
    ReportPart,
    ReportRow,
    ReportSeries,
    ReportWeek,
)
from metrics_platform.report.expectation import LOOKBACK
from metrics_platform.report.highlights import Slices, explain_all, highlights
from metrics_platform.report.metrics import DAILY_METRICS
from metrics_platform.time_windows import Day

if TYPE_CHECKING:
    from metrics_platform.catalog import Metric
    from metrics_platform.catalog_entries import Unit

# A day's metrics by name, as `app_daily` has them; None: the ratio has no base.
Metrics = Mapping[str, float | None]
Problem = Literal["missing", "partial", "incomplete", "failed_checks"]

DAYS_SHOWN = 7
_ONE_DAY = datetime.timedelta(days=1)

# All metrics of `app_daily`, in the groups in which the report folds them.
_GROUPS: Mapping[str, Sequence[str]] = {
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
HEADLINE = "headline"
# Of a product whose events have no other source, a row of zeros says nothing.
_ONLY_IF_ANY = {"new_users_other"}


@dataclass(frozen=True)
class LoadState:
    """How the day's data were computed: when (None: not known), and what their checks said.

    Attributes:
        fresh_at: the oldest of the latest computations of the tables that the day's facts come from.
        checks_passed, checks_total: of those tables, as of their latest runs for the day.
        failed_checks: "table: check" of those that failed as errors.
        not_computed: tables behind the day's facts that have no rows of it, although there are events.
    """

    fresh_at: datetime.datetime | None = None
    checks_passed: int = 0
    checks_total: int = 0
    failed_checks: tuple[str, ...] = ()
    not_computed: tuple[str, ...] = ()


def dates_needed(date: datetime.date) -> tuple[datetime.date, datetime.date]:
    """The first and the last date whose rows a report of `date` needs, to know what was to be expected of it."""
    return date - LOOKBACK, date


def problem_of(day: Day, rows: Mapping[datetime.date, Metrics], load: LoadState) -> Problem | None:
    """What is wrong with the data of the day, the worst of it."""
    if day.date not in rows:
        return "missing"
    if load.not_computed:
        return "partial"
    if load.failed_checks:
        return "failed_checks"
    if load.fresh_at is not None and load.fresh_at < day.end:
        return "incomplete"
    return None


@dataclass(frozen=True)
class ReportData:
    """What a report is made from, each by its date (see `dates_needed`).

    Attributes:
        rows: the rows of `app_daily`.
        values: of the catalogue's metrics that the report shows, those of `metric_daily`.
        sections: the parts that the catalogue adds, each with its metrics.
        headline: the metrics that are shown first, of `app_daily` or of `sections`.
        read_slices: reads the days of a metric by slice.
        holidays: as in METRICS_HOLIDAYS.
    """

    rows: Mapping[datetime.date, Metrics]
    values: Mapping[datetime.date, Metrics] = field(default_factory=dict)
    sections: Mapping[str, Sequence[Metric]] = field(default_factory=dict)
    headline: Sequence[str] = ()
    read_slices: Callable[[str], Slices] = lambda _: {}
    holidays: Collection[datetime.date] = ()

    @property
    def units(self) -> dict[str, Unit]:
        """The units of the catalogue's metrics."""
        return {metric.name: metric.unit for metrics in self.sections.values() for metric in metrics}


def report_of(
    day: Day,
    data: ReportData,
    load: LoadState,
    *,
    occurred_at: datetime.datetime,
    week: ReportWeek | None = None,
    incidents: Sequence[DayIncident] = (),
    run_id: str | None = None,
) -> DailyReport:
    """The report of `day`.

    `week` is added on Mondays. `incidents` are those of the day, and those that are open when it is sent. A day that is
    missing has no tables and no pictures.
    """
    known = day.date in data.rows
    return DailyReport(
        key=f"report-{day.key}",
        occurred_at=occurred_at,
        run_id=run_id,
        date=day.date,
        period_start=day.start,
        period_end=day.end,
        parts=_parts(day.date, data) if known else (),
        highlights=_highlights(day.date, data) if known else None,
        week=week if known else None,
        problem=problem_of(day, data.rows, load),
        not_computed=load.not_computed,
        fresh_at=load.fresh_at,
        checks_passed=load.checks_passed if load.checks_total else None,
        checks_total=load.checks_total or None,
        day_incidents=tuple(incidents),
    )


def _highlights(date: datetime.date, data: ReportData) -> tuple[Highlight, ...] | None:
    found = highlights(date, data.rows, holidays=data.holidays, catalog_values=data.values, catalog_units=data.units)
    return found and explain_all(found, date, data.read_slices, data.holidays)


def content_of(report: DailyReport) -> str:
    """A hash of the report's problem and of the numbers in its tables: a report with the same hash is not sent again.

    Highlights, the week and incidents are left out, since other days change them; so are pictures, which show the
    same numbers.
    """
    sent: dict[str, Any] = {
        "problem": report.problem,
        "parts": [[row.model_dump(mode="json") for row in part.rows] for part in report.parts],
    }
    return hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest()[:8]


def _parts(date: datetime.date, data: ReportData) -> tuple[ReportPart, ...]:
    """The headline metrics, all metrics in their groups, and the catalogue's sections, as far as they have values."""
    names = {HEADLINE: data.headline, **_GROUPS}
    names |= {section: [metric.name for metric in metrics] for section, metrics in data.sections.items()}
    return tuple(
        part
        for name, metrics in names.items()
        if (part := _part(name, metrics, date, data)).rows
        and (name in _GROUPS or name == HEADLINE or _has_values(part))
    )


def _part(name: str, metrics: Sequence[str], date: datetime.date, data: ReportData) -> ReportPart:
    days = _days(date)
    shown = [metric for metric in metrics if metric in DAILY_METRICS or metric in data.units]
    rows = tuple(row for metric in shown if (row := _row(metric, date, data)))
    return ReportPart(name=name, rows=rows, days=days, series=tuple(_series(row.metric, days, data) for row in rows))


def _has_values(part: ReportPart) -> bool:
    return any(value is not None for series in part.series for value in (*series.values, *series.values_before))


def _days(date: datetime.date) -> tuple[datetime.date, ...]:
    """The days that a picture shows, oldest first."""
    return tuple(date - offset * _ONE_DAY for offset in reversed(range(DAYS_SHOWN)))


def _row(name: str, date: datetime.date, data: ReportData) -> ReportRow | None:
    """The metric's row; None for one that is shown only where it has any value."""
    value, day_before, week_before = (_value(data, date - back * _ONE_DAY, name) for back in (0, 1, 7))
    if name in _ONLY_IF_ANY and not (value or day_before or week_before):
        return None
    return ReportRow(metric=name, unit=_unit(name, data), value=value, day_before=day_before, week_before=week_before)


def _series(name: str, days: tuple[datetime.date, ...], data: ReportData) -> ReportSeries:
    return ReportSeries(
        metric=name,
        unit=_unit(name, data),
        values=tuple(_value(data, day, name) for day in days),
        values_before=tuple(_value(data, day - DAYS_SHOWN * _ONE_DAY, name) for day in days),
    )


def _unit(name: str, data: ReportData) -> Unit:
    return DAILY_METRICS.get(name) or data.units[name]


def _value(data: ReportData, date: datetime.date, name: str) -> float | None:
    rows = data.rows if name in DAILY_METRICS else data.values
    return rows[date].get(name) if date in rows else None
