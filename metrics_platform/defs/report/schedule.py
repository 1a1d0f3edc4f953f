"""The morning: the job `daily_report_job` and its schedule, which asks for yesterday's report."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import dagster as dg

from metrics_platform.defs.report.assets import ASSET, DUE_AT, DailyReportConfig
from metrics_platform.defs.schedules import default_schedule_status
from metrics_platform.settings import Settings
from metrics_platform.time_windows import day_of

# Not the asset's name: that is the name of its step, and Dagster lets no job have the name of a step.
JOB = "daily_report_job"
_ONE_DAY = datetime.timedelta(days=1)


def daily_report_job() -> Any:
    """The job of the report alone: in one process, for it is one step."""
    return dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.assets(ASSET),
        executor_def=dg.in_process_executor,
        # Before a backfill in the queue, behind messages.
        tags={"dagster/priority": "5", "dagster/max_runtime": "3600"},
        description="Writes the report of a day and, with the config `send: true`, sends it. The schedule does so "
        "every morning; started by hand it sends nothing unless asked.",
    )


def daily_report_schedule(
    job: Any,
    settings: Settings,
    now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
) -> dg.ScheduleDefinition:
    """Every morning at METRICS_REPORT_AT local time: the report of yesterday is sent; `now` is its clock."""

    @dg.schedule(
        name=f"{ASSET}_schedule",
        cron_schedule=f"{settings.report_at.minute} {settings.report_at.hour} * * *",
        execution_timezone=settings.timezone,
        job=job,
        default_status=default_schedule_status(settings),
        description=f"Every morning at {settings.report_at:%H:%M} {settings.timezone}: the report of yesterday is "
        "sent. After a downtime the latest one that was missed, late, and none of those before it.",
    )
    def morning(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        due = context.scheduled_execution_time
        today = due.astimezone(settings.zone).date()
        day = today - _ONE_DAY
        if report_due_at(today + _ONE_DAY, settings) <= now():
            return dg.SkipReason(f"The report of {day} is too late: a newer one is due.")
        if reason := why_no_report(day, settings):
            return dg.SkipReason(reason)
        return dg.RunRequest(
            run_key=day.isoformat(),
            partition_key=day.isoformat(),
            run_config=dg.RunConfig(ops={ASSET: DailyReportConfig(send=True)}),
            tags={DUE_AT: due.astimezone(datetime.UTC).isoformat()},
        )

    return morning


def why_no_report(day: datetime.date, settings: Settings) -> str | None:
    """Why there is no report of `day`; None: there is to be one."""
    if day_of(day, settings.zone).hours == 0:
        return f"In {settings.timezone} there was no {day}: the zone's clocks skipped it."
    if settings.end_date and day > settings.end_date:
        return f"The events have ended: METRICS_END_DATE is {settings.end_date}."
    if day < settings.start_date:
        return f"No complete day yet: METRICS_START_DATE is {settings.start_date}, today is {day + _ONE_DAY}."
    return None


def report_due_at(date: datetime.date, settings: Settings) -> datetime.datetime:
    """When the report is due on the morning of `date`."""
    return datetime.datetime.combine(date, settings.report_at, tzinfo=settings.zone)
