"""The nightly load: the job `daily_etl` and its schedule, which recomputes the last complete days."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

import dagster as dg

from metrics_platform.defs.daily.assets import GROUP
from metrics_platform.defs.resources import default_schedule_status
from metrics_platform.settings import Settings
from metrics_platform.time_windows import RANGE_END, RANGE_START
from metrics_platform.warehouse import tables

JOB = "daily_etl"
# Longest gap that the nightly run closes automatically after a downtime. A longer one is a backfill, which should be
# started on purpose.
MAX_CATCH_UP_DAYS = 31


def daily_etl_job() -> Any:
    """The job that materialises every table of the daily load."""
    return dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.groups(GROUP),
        description="The daily load: both extracts, the users' snapshot, the merged table, the slices, "
        "`dimension_metrics` and the report's `app_daily`, for one day or a range of days in one run. Running a day "
        "again gives the same rows.",
    )


def daily_etl_schedule(job: Any, settings: Settings) -> dg.ScheduleDefinition:
    """Every night at METRICS_ETL_AT local time: yesterday, and the days before it again for late events."""

    @dg.schedule(
        name=f"{JOB}_schedule",
        cron_schedule=f"{settings.etl_at.minute} {settings.etl_at.hour} * * *",
        execution_timezone=settings.timezone,
        job=job,
        default_status=default_schedule_status(settings),
        description=f"Every night at {settings.etl_at:%H:%M} {settings.timezone}: the last "
        f"{settings.recompute_days} complete day{'s' * (settings.recompute_days > 1)}, for late events, and up to "
        f"{MAX_CATCH_UP_DAYS} days that were missed during a downtime.",
    )
    def nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        local = context.scheduled_execution_time.astimezone(settings.zone)
        done = context.instance.get_materialized_partitions(dg.AssetKey(tables.USERS.name))
        days = days_to_compute(local.date(), settings.start_date, settings.recompute_days, done)
        if settings.end_date and local.date() - datetime.timedelta(days=1) > settings.end_date:
            return dg.SkipReason(f"The events have ended: METRICS_END_DATE is {settings.end_date}.")
        if not days:
            return dg.SkipReason(
                f"No complete day yet: METRICS_START_DATE is {settings.start_date}, today is {local.date()}."
            )
        first, last = days
        return dg.RunRequest(
            run_key=f"{first}…{last}",
            tags={RANGE_START: first.isoformat(), RANGE_END: last.isoformat()},
        )

    return nightly


def days_to_compute(
    today: datetime.date, start_date: datetime.date, recompute_days: int, materialized: Iterable[str]
) -> tuple[datetime.date, datetime.date] | None:
    """First and last day of the nightly run: the last `recompute_days` before `today`, never before `start_date`.

    If nights were missed, the range begins on the day after the last snapshot (`materialized`: its partition keys), at
    most MAX_CATCH_UP_DAYS back, since a snapshot cannot be continued over a gap. If no snapshot exists yet, it begins
    at `start_date`, if that is not further back. None: no day is complete yet.
    """
    last = today - datetime.timedelta(days=1)
    if last < start_date:
        return None
    first = today - datetime.timedelta(days=recompute_days)
    earliest = today - datetime.timedelta(days=MAX_CATCH_UP_DAYS)
    done = max((key for key in materialized if key <= last.isoformat()), default=None)
    if done is not None:
        resume = datetime.date.fromisoformat(done) + datetime.timedelta(days=1)
        first = max(min(first, resume), earliest)
    elif start_date >= earliest:
        first = start_date
    return max(first, start_date), last
