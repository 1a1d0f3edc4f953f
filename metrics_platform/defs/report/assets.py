"""The asset `daily_report`, its job and its schedule. It shows the report of a day, and sends it if configured.

The code that writes and draws is imported on use: most processes of the platform load this module and never report.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions it is given.

import datetime
from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from metrics_platform.defs.day_assets import day_asset
from metrics_platform.defs.resources import default_schedule_status
from metrics_platform.settings import Settings
from metrics_platform.time_windows import day_of, day_of_key
from metrics_platform.warehouse import tables
from metrics_platform.warehouse.client import Warehouse

ASSET = "daily_report"
GROUP = "report"
# Not the asset's name: Dagster does not allow a job to have the name of a step.
JOB = "daily_report_job"
CHECK = "data_is_complete"
# The tag of a scheduled run: when the report was due (ISO 8601).
DUE_AT = "metrics/due_at"
_ONE_DAY = datetime.timedelta(days=1)
_DESCRIPTION = """\
The morning report of a day: what stands out against the last eight weeks and the slices that explain it, the \
day's incidents, the headline metrics with their changes to the day before and a week before, and all other metrics \
folded in groups. Two pictures show the last seven days against the seven before. On Mondays, last week is added.

A materialisation shows the text and the pictures as users get them. **It sends nothing**, unless you set \
`send: true` in the run's config, as the schedule does every morning. Numbers that were sent are not sent again; if \
they have changed since, they are sent as a correction, in reply to the first report.
"""


class DailyReportConfig(dg.Config):
    """Whether a run also sends the report."""

    send: bool = Field(
        default=False,
        description="Send the report. The same numbers are sent once; if they have changed since, a correction is "
        "sent. For a range of days, only the last one is sent.",
    )


def report_definitions(settings: Settings) -> dg.Definitions:
    job = daily_report_job()
    schedule = daily_report_schedule(job, settings)
    return dg.Definitions(assets=[_report_asset(settings)], jobs=[job], schedules=[schedule])


def _report_asset(settings: Settings) -> dg.AssetsDefinition:
    def compute(context: dg.AssetExecutionContext, warehouse: Warehouse, config: DailyReportConfig) -> Iterator[Any]:
        from metrics_platform.defs.report.writing import check_result, write_reports  # noqa: PLC0415

        days = [day_of_key(key, settings.zone) for key in sorted(context.partition_keys)]
        reports = write_reports(context, warehouse, days, settings, send=config.send)
        yield dg.MaterializeResult(check_results=[check_result(CHECK, reports)])

    return day_asset(
        ASSET,
        settings,
        compute,
        config=DailyReportConfig,
        deps=[tables.APP_DAILY.name, tables.METRIC_DAILY.name],
        group_name=GROUP,
        kinds={"python", "matplotlib"},
        description=_DESCRIPTION,
        check_specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=ASSET,
                description="All tables of the day were computed, after the day was over, and passed their checks.",
            )
        ],
    )


def daily_report_job() -> Any:
    """The job of the report. It has a single step, so it runs in one process."""
    return dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.assets(ASSET),
        executor_def=dg.in_process_executor,
        # Before backfills in the queue, after messages.
        tags={"dagster/priority": "5", "dagster/max_runtime": "3600"},
        description="Writes the report of a day and, with the config `send: true`, sends it. The schedule does so "
        "every morning; started manually it sends nothing unless asked.",
    )


def daily_report_schedule(job: Any, settings: Settings) -> dg.ScheduleDefinition:
    """Every morning at METRICS_REPORT_AT local time: the report of yesterday is sent."""

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
        if report_due_at(today + _ONE_DAY, settings) <= datetime.datetime.now(datetime.UTC):
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
    """Why there is no report of `day`; None if there should be one."""
    if day_of(day, settings.zone).hours == 0:
        return f"In {settings.timezone} there was no {day}: the zone's clocks skipped it."
    if settings.end_date and day > settings.end_date:
        return f"The events have ended: METRICS_END_DATE is {settings.end_date}."
    if day < settings.start_date:
        return f"No complete day yet: METRICS_START_DATE is {settings.start_date}, today is {day + _ONE_DAY}."
    return None


def report_due_at(date: datetime.date, settings: Settings) -> datetime.datetime:
    return datetime.datetime.combine(date, settings.report_at, tzinfo=settings.zone)
