"""From the rows of `app_daily` to the facts of a report: values, changes, the last days, what is wrong with the data.

Everything is looked up by its date over a complete calendar. A day without a row is missing: it is None, never 0, and
shifts nothing.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from metrics_platform.calendar import Day
from metrics_platform.notifications.kinds import DailyReport, ReportPart, ReportRow, ReportSeries
from metrics_platform.report.metrics import DAILY_METRICS

if TYPE_CHECKING:
    from metrics_platform.catalog import Metric
    from metrics_platform.catalog_entries import Unit
    from metrics_platform.incidents.open_incidents import OpenIncidents

# A day's metrics by name, as `app_daily` has them; None: the ratio has no base.
Metrics = Mapping[str, float | None]
Problem = Literal["missing", "partial", "incomplete", "failed_checks"]

DAYS_SHOWN = 7
_ONE_DAY = datetime.timedelta(days=1)

# The feed's key metrics, then everything: rows of the table in their groups, and the picture's panels, which are read
# in rows of two.
_FEED_ROWS = (("feed_dau", "views", "likes", "ctr"),)
_FEED_PANELS = ("feed_dau", "views", "likes", "ctr")
_APPLICATION_ROWS = (
    ("app_dau", "feed_dau", "messenger_dau", "feed_only", "messenger_only", "both_services"),
    ("views_per_user", "likes_per_user"),
    ("messages_sent", "senders", "receivers", "sent_per_sender", "received_per_receiver", "sent_received"),
    ("new_users", "new_users_ads", "new_users_organic", "new_users_other"),
    ("wau", "mau", "stickiness", "retention_d1", "retention_d7"),
)
_APPLICATION_PANELS = (
    ("app_dau", "both_services"),
    ("feed_dau", "messenger_dau"),
    ("messages_sent", "sent_per_sender"),
    ("new_users", "stickiness"),
    ("wau", "mau"),
    ("retention_d1", "retention_d7"),
)
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
    """The first and the last date whose rows a report of `date` shows: seven days, and the seven before them."""
    return date - (2 * DAYS_SHOWN - 1) * _ONE_DAY, date


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


def report_of(
    day: Day,
    rows: Mapping[datetime.date, Metrics],
    load: LoadState,
    *,
    occurred_at: datetime.datetime,
    sections: Mapping[str, Sequence[Metric]] | None = None,
    values: Mapping[datetime.date, Metrics] | None = None,
    open_incidents: OpenIncidents | None = None,
    run_id: str | None = None,
) -> DailyReport:
    """The report of `day` from the rows of `app_daily` by their dates (see `dates_needed`).

    `sections` are the parts that the catalogue adds, each with its metrics, whose `values` are those of `metric_daily`.
    `open_incidents` are those that are open when it is sent. A day that is missing has no tables and no pictures:
    there is nothing to tell but that.
    """
    return DailyReport(
        key=f"report-{day.key}",
        occurred_at=occurred_at,
        run_id=run_id,
        date=day.date,
        period_start=day.start,
        period_end=day.end,
        parts=(*_parts(day.date, rows), *_sections(day.date, sections or {}, values or {})) if day.date in rows else (),
        problem=problem_of(day, rows, load),
        not_computed=load.not_computed,
        fresh_at=load.fresh_at,
        checks_passed=load.checks_passed if load.checks_total else None,
        checks_total=load.checks_total or None,
        critical=open_incidents.critical if open_incidents else 0,
        warning=open_incidents.warning if open_incidents else 0,
        normal=open_incidents.normal if open_incidents else 0,
        incidents=open_incidents.anomalies if open_incidents else (),
    )


def content_of(report: DailyReport) -> str:
    """Eight letters that are the same for the same numbers: for telling once what has been told."""
    told: dict[str, Any] = {
        "problem": report.problem,
        "parts": [[row.model_dump(mode="json") for row in part.rows] for part in report.parts],
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:8]


def _parts(date: datetime.date, rows: Mapping[datetime.date, Metrics]) -> tuple[ReportPart, ...]:
    days = _days(date)
    panels = tuple(name for pair in _APPLICATION_PANELS for name in pair)
    return (
        ReportPart(
            name="feed",
            rows=_rows(_FEED_ROWS, date, rows),
            days=days,
            series=tuple(_series(name, days, rows) for name in _FEED_PANELS),
        ),
        ReportPart(
            name="application",
            rows=_rows(_APPLICATION_ROWS, date, rows),
            days=days,
            series=tuple(_series(name, days, rows) for name in panels),
        ),
    )


def _sections(
    date: datetime.date, sections: Mapping[str, Sequence[Metric]], values: Mapping[datetime.date, Metrics]
) -> tuple[ReportPart, ...]:
    """The parts of the catalogue; one without any value of these days is left out."""
    days = _days(date)
    return tuple(
        ReportPart(
            name=section,
            rows=_rows((tuple(metric.name for metric in metrics),), date, values, units),
            days=days,
            series=tuple(_series(metric.name, days, values, units) for metric in metrics),
        )
        for section, metrics in sections.items()
        for units in [{metric.name: metric.unit for metric in metrics}]
        if any(metric.name in values.get(day, {}) for metric in metrics for day in days)
    )


def _days(date: datetime.date) -> tuple[datetime.date, ...]:
    """The days that a picture shows, oldest first."""
    return tuple(date - offset * _ONE_DAY for offset in reversed(range(DAYS_SHOWN)))


def _rows(
    groups: tuple[tuple[str, ...], ...],
    date: datetime.date,
    rows: Mapping[datetime.date, Metrics],
    units: Mapping[str, Unit] = DAILY_METRICS,
) -> tuple[ReportRow, ...]:
    day_before, week_before = date - _ONE_DAY, date - 7 * _ONE_DAY
    return tuple(
        ReportRow(
            metric=name,
            unit=units[name],
            value=_value(rows, date, name),
            day_before=_value(rows, day_before, name),
            week_before=_value(rows, week_before, name),
            begins_group=number > 0 and position == 0,
        )
        for number, group in enumerate(groups)
        for position, name in enumerate(group)
        if name not in _ONLY_IF_ANY or any(_value(rows, each, name) for each in (date, day_before, week_before))
    )


def _series(
    name: str,
    days: tuple[datetime.date, ...],
    rows: Mapping[datetime.date, Metrics],
    units: Mapping[str, Unit] = DAILY_METRICS,
) -> ReportSeries:
    return ReportSeries(
        metric=name,
        unit=units[name],
        values=tuple(_value(rows, day, name) for day in days),
        values_before=tuple(_value(rows, day - DAYS_SHOWN * _ONE_DAY, name) for day in days),
    )


def _value(rows: Mapping[datetime.date, Metrics], date: datetime.date, name: str) -> float | None:
    return rows[date].get(name) if date in rows else None
