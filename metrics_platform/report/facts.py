"""From the rows of `app_daily` to the facts of a report: what stands out, values, changes, and problems of the data.

Everything is looked up by its date over a complete calendar. A day without a row is missing: it is None, never 0, and
shifts nothing. Pure.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import TYPE_CHECKING, Literal

from metrics_platform.catalog_entries import Unit
from metrics_platform.notifications import kinds
from metrics_platform.report.highlights import DAILY_METRICS, GROUPS, Rows, Slices, explain_all, highlights
from metrics_platform.time_windows import Day

if TYPE_CHECKING:
    from metrics_platform.catalog import Metric

# A day's metrics by name, as `app_daily` has them; None: the ratio has no base.
Metrics = Mapping[str, float | None]
Problem = Literal["missing", "partial", "incomplete", "failed_checks"]

DAYS_SHOWN = 7
_DAY = datetime.timedelta(days=1)

HEADLINE = "headline"
# Of a product whose events have no other source, a row of zeros says nothing.
_HIDDEN_IF_ZERO = {"new_users_other"}


@dataclass(frozen=True)
class LoadState:
    """How the day's data were computed: when (None: not known), and what their checks said."""

    # The oldest of the latest computations of the tables that the day's facts come from.
    fresh_at: datetime.datetime | None = None
    # Of those tables, as of their latest runs for the day.
    checks_passed: int = 0
    checks_total: int = 0
    # "table: check" of those that failed as errors.
    failed_checks: tuple[str, ...] = ()
    # Tables behind the day's facts that have no rows of it, although there are events.
    not_computed: tuple[str, ...] = ()


def problem_of(day: Day, rows: Rows, load: LoadState) -> Problem | None:
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
    """What a report is made from, each by its date: of the day, and of LOOKBACK before it."""

    # The rows of `app_daily`.
    rows: Rows
    # Of the catalogue's metrics that the report shows, those of `metric_daily`.
    values: Rows = field(default_factory=dict)
    # The parts that the catalogue adds, each with its metrics.
    sections: Mapping[str, Sequence[Metric]] = field(default_factory=dict)
    # The metrics that are shown first, of `app_daily` or of `sections`.
    headline: Sequence[str] = ()
    # Reads the days of a metric by slice.
    read_slices: Callable[[str], Slices] = lambda _: {}
    # As in METRICS_HOLIDAYS.
    holidays: Collection[datetime.date] = ()

    @property
    def units(self) -> dict[str, Unit]:
        return {metric.name: metric.unit for metrics in self.sections.values() for metric in metrics}


def report_of(
    day: Day,
    data: ReportData,
    load: LoadState,
    *,
    occurred_at: datetime.datetime,
    week: kinds.ReportWeek | None = None,
    incidents: Sequence[kinds.DayIncident] = (),
    run_id: str | None = None,
) -> kinds.DailyReport:
    """The report of `day`.

    `week` is added on Mondays. `incidents` are those of the day, and those that are open when it is sent. A day that is
    missing has no tables and no pictures.
    """
    is_computed = day.date in data.rows
    unusual = None
    if is_computed:
        unusual = highlights(
            day.date, data.rows, holidays=data.holidays, catalog_values=data.values, catalog_units=data.units
        )
    return kinds.DailyReport(
        key=f"report-{day.key}",
        occurred_at=occurred_at,
        run_id=run_id,
        date=day.date,
        period_start=day.start,
        period_end=day.end,
        parts=tuple(_parts(day.date, data)) if is_computed else (),
        highlights=unusual and explain_all(unusual, day.date, data.read_slices, data.holidays),
        week=week if is_computed else None,
        problem=problem_of(day, data.rows, load),
        not_computed=load.not_computed,
        fresh_at=load.fresh_at,
        checks_passed=load.checks_passed if load.checks_total else None,
        checks_total=load.checks_total or None,
        day_incidents=tuple(incidents),
    )


def content_of(report: kinds.DailyReport) -> str:
    """A hash of the report's problem and of the numbers in its tables: a report with the same hash is not sent again.

    Highlights, the week and incidents are left out, since other days change them; so are pictures, which show the
    same numbers.
    """
    parts = [[row.model_dump(mode="json") for row in part.rows] for part in report.parts]
    content = {"problem": report.problem, "parts": parts}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def _parts(date: datetime.date, data: ReportData) -> Iterator[kinds.ReportPart]:
    """The headline metrics, all metrics in their groups, and the catalogue's sections, as far as they have values."""
    # The days that a picture shows, oldest first.
    days = tuple(date - back * _DAY for back in reversed(range(DAYS_SHOWN)))
    names_by_part = {part: dict.fromkeys(names) for part, names in {HEADLINE: data.headline, **GROUPS}.items()}
    for section, metrics in data.sections.items():
        # A section with the name of a built-in part, such as `growth`, adds to it.
        names_by_part.setdefault(section, {}).update(dict.fromkeys(metric.name for metric in metrics))
    units = {**data.units, **DAILY_METRICS}
    for part, names in names_by_part.items():
        units_by_name = [(name, units[name]) for name in names if _is_shown(name, date, data)]
        series = tuple(
            kinds.ReportSeries(
                metric=metric,
                unit=unit,
                values=tuple(_value(data, day, metric) for day in days),
                values_before=tuple(_value(data, day - DAYS_SHOWN * _DAY, metric) for day in days),
            )
            for metric, unit in units_by_name
        )
        rows = tuple(
            kinds.ReportRow(
                metric=metric,
                unit=unit,
                value=_value(data, date, metric),
                day_before=_value(data, date - _DAY, metric),
                week_before=_value(data, date - 7 * _DAY, metric),
            )
            for metric, unit in units_by_name
        )
        has_values = any(
            value is not None
            for metric_series in series
            for value in (*metric_series.values, *metric_series.values_before)
        )
        if rows and (part in {HEADLINE, *GROUPS} or has_values):
            yield kinds.ReportPart(name=part, rows=rows, series=series)


def _is_shown(name: str, date: datetime.date, data: ReportData) -> bool:
    """Whether a metric has a row. One of _HIDDEN_IF_ZERO has one only if it is not zero on a day that is compared."""
    if name in _HIDDEN_IF_ZERO:
        return any(_value(data, date - back * _DAY, name) for back in (0, 1, 7))
    return name in DAILY_METRICS or name in data.units


def _value(data: ReportData, date: datetime.date, name: str) -> float | None:
    rows = data.rows if name in DAILY_METRICS else data.values
    return rows[date].get(name) if date in rows else None


# --- last week against the four weeks before it -----------------------------------------------------------------------

WEEKS_BEFORE = 4
# How a value of the week follows from its days: distinct users as of the last day, counts added up, shares as the sums
# divided.
_WEEKLY: Mapping[str, tuple[str, ...]] = {
    "wau": (),
    "views": ("views",),
    "likes": ("likes",),
    "ctr": ("likes", "views"),
    "messages_sent": ("messages_sent",),
    "new_users": ("new_users",),
    "retention_d1": ("retained_d1", "cohort_d1"),
    "retention_d7": ("retained_d7", "cohort_d7"),
}


def week_of(date: datetime.date, rows: Rows, cohorts: Sequence[kinds.WeeklyCohort] = ()) -> kinds.ReportWeek | None:
    """The week that ends with `date`; None where that is no Sunday."""
    if date.isoweekday() != 7:
        return None
    weeks = [
        [rows.get(date - (7 * number + back) * _DAY, {}) for back in range(7)] for number in range(WEEKS_BEFORE + 1)
    ]
    week_rows = []
    for name in _WEEKLY:
        value, *before = (_weekly_value(name, days) for days in weeks)
        known = [earlier for earlier in before if earlier is not None]
        usual = mean(known) if len(known) == WEEKS_BEFORE else None
        week_rows.append(kinds.WeekRow(metric=name, unit=DAILY_METRICS[name], value=value, before=usual))
    return kinds.ReportWeek(first_day=date - 6 * _DAY, rows=tuple(week_rows), cohorts=tuple(cohorts))


def _weekly_value(name: str, days: Sequence[Metrics]) -> float | None:
    """The value of seven days, the last first; None where one of them is missing: less is not comparable."""
    parts = _WEEKLY[name]
    if not all(days):
        return None
    if not parts:
        return days[0].get(name)
    numerator, denominator = _total(days, parts[0]), _total(days, parts[-1])
    if len(parts) == 1:
        return numerator
    return numerator / denominator if numerator is not None and denominator else None


def _total(days: Sequence[Metrics], name: str) -> float | None:
    known = [value for day in days if (value := day.get(name)) is not None]
    return sum(known) if len(known) == len(days) else None
