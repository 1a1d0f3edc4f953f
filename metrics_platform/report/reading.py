"""Reading what the morning report is made from: days of metrics as a whole and by slice, and weekly cohorts.

Each function raises WarehouseError if ClickHouse refused, failed or did not answer, and SchemaMismatchError if a table
has other columns than this version reads. Before the first load, tables that do not exist are empty.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence

from metrics_platform.catalog import Catalog, load_catalog_or_builtin
from metrics_platform.notifications.kinds import DailyReport, DayIncident, WeeklyCohort
from metrics_platform.report.facts import LoadState, ReportData, report_of, week_of
from metrics_platform.report.highlights import LOOKBACK, Slices
from metrics_platform.settings import Settings
from metrics_platform.time_windows import Day
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import SchemaMismatchError, tables_exist
from metrics_platform.warehouse.tables import APP_DAILY, INCIDENTS, METRIC_DAILY, USER_COHORTS, read_sql


def read_reports(  # noqa: PLR0917
    warehouse: Warehouse,
    days: Sequence[Day],
    settings: Settings,
    occurred_at: datetime.datetime,
    load_of: Callable[[Day, bool], LoadState] = lambda *_: LoadState(),
    run_id: str | None = None,
) -> Iterator[DailyReport]:
    """The reports of some days, as of `occurred_at`; `load_of` says how a day was computed, and gets whether it was."""
    catalog = load_catalog_or_builtin(settings)
    first, last = min(day.date for day in days) - LOOKBACK, max(day.date for day in days)
    names = [metric.name for metrics in catalog.sections.values() for metric in metrics]
    data = ReportData(
        rows=read_app_days(warehouse, first, last),
        values=_read_metric_days(warehouse, names, first, last),
        sections=catalog.sections,
        headline=settings.report_metrics,
        read_slices=lambda metric: _read_slices(warehouse, metric, first, last),
        holidays=settings.holidays,
    )
    for day in days:
        until = min(occurred_at, day.end + datetime.timedelta(days=1))
        yield report_of(
            day,
            data,
            load_of(day, day.date in data.rows),
            occurred_at=occurred_at,
            week=week_of(day.date, data.rows, read_weekly_cohorts(warehouse, day.date)),
            incidents=read_day_incidents(warehouse, day, until, catalog),
            run_id=run_id,
        )


def read_app_days(
    warehouse: Warehouse, first: datetime.date, last: datetime.date
) -> dict[datetime.date, dict[str, float | None]]:
    """The metrics (columns of `app_daily`) of each day from `first` to `last` that has been computed, by its date."""
    if not tables_exist(warehouse, [APP_DAILY]):
        return {}
    result = warehouse.query(
        read_sql("queries/app_days.sql"),
        {"first": first, "last": last},
        operation=f"Reading {APP_DAILY.name} from {first} to {last}",
    )
    return {row.pop("event_date"): row for row in map(dict, result.rows)}


def _read_metric_days(
    warehouse: Warehouse, names: Sequence[str], first: datetime.date, last: datetime.date
) -> dict[datetime.date, dict[str, float | None]]:
    """The values of some metrics in the whole product, by day; a day that was not computed is left out."""
    if not names or not tables_exist(warehouse, [METRIC_DAILY]):
        return {}
    rows = warehouse.query(
        "SELECT event_date, toString(metric) AS name, value FROM metric_daily FINAL WHERE dimension = 'total' "
        "AND event_date BETWEEN {first:Date} AND {last:Date} AND has({names:Array(String)}, toString(metric))",
        {"first": first, "last": last, "names": list(names)},
        operation=f"Reading {METRIC_DAILY.name} from {first} to {last}",
    ).rows
    by_day: dict[datetime.date, dict[str, float | None]] = {}
    for row in rows:
        by_day.setdefault(row["event_date"], {})[row["name"]] = row["value"]
    return by_day


def _read_slices(warehouse: Warehouse, metric: str, first: datetime.date, last: datetime.date) -> Slices:
    """A metric of `metric_daily` by dimension and value, then by day: numerator and denominator."""
    if not tables_exist(warehouse, [METRIC_DAILY]):
        return {}
    rows = warehouse.query(
        read_sql("queries/metric_slices.sql"),
        {"metric": metric, "first": first, "last": last},
        operation=f"Reading the slices of {metric}",
    ).rows
    by_slice: dict[tuple[str, str], dict[datetime.date, tuple[float | None, float | None]]] = {}
    for row in rows:
        key = (row["slice_dimension"], row["slice_value"])
        by_slice.setdefault(key, {})[row["event_date"]] = (row["above"], row["below"])
    return by_slice


def read_day_incidents(
    warehouse: Warehouse, day: Day, until: datetime.datetime, catalog: Catalog
) -> tuple[DayIncident, ...]:
    """The incidents of the day that people were notified of, as they were at `until`.

    None where the monitor has not run, or its table has other columns: the monitor's own runs report that."""
    try:
        if not tables_exist(warehouse, [INCIDENTS]):
            return ()
    except SchemaMismatchError:
        return ()
    rows = warehouse.query(
        read_sql("queries/incidents_of_day.sql"),
        {"first_slot": day.start, "day_end": day.end, "end_slot": until},
        operation=f"Reading the incidents of {day.date}",
    ).rows
    return tuple(
        DayIncident(
            metric=row["metric"],
            unit=catalog.metrics[row["metric"]].unit if row["metric"] in catalog.metrics else "count",
            dimension=None if row["dimension"] == "total" else row["dimension"],
            dimension_value=None if row["dimension"] == "total" else row["dimension_value"],
            severity=row["severity"],
            opened_at=row["opened_at"].replace(tzinfo=datetime.UTC),
            closed_at=row["closed_at"].replace(tzinfo=datetime.UTC) if row["closed_at"] else None,
            worst_change=row["worst_change"],
        )
        for row in rows
    )


def read_weekly_cohorts(warehouse: Warehouse, last: datetime.date) -> tuple[WeeklyCohort, ...]:
    """The cohorts of the last weeks up to the Sunday `last`, oldest first."""
    if not tables_exist(warehouse, [USER_COHORTS]):
        return ()
    rows = warehouse.query(
        read_sql("queries/weekly_cohorts.sql"), {"last": last}, operation=f"Reading the weekly cohorts up to {last}"
    ).rows
    by_week = {(row["first_week"], row["weeks_since"]): row for row in rows}
    # A cohort that began before the first computed day has no row of its first days, and so no size.
    weeks = sorted(week for week, weeks_since in by_week if weeks_since == 0)
    max_weeks = max((weeks_since for week, weeks_since in by_week if week in weeks), default=0)
    return tuple(
        WeeklyCohort(
            first_day=week,
            users=by_week[week, 0]["cohort_users"],
            retention=tuple(
                by_week[week, number]["retention"] if (week, number) in by_week else None
                for number in range(1, max_weeks + 1)
            ),
        )
        for week in weeks
    )
