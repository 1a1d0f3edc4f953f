"""The sensors of the platform's own health. What a tick does is loaded at the tick: most processes never do."""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions it is given.

import datetime
from collections.abc import Callable

import dagster as dg

from metrics_platform.settings import Settings

FAILED_RUNS = "failed_run_sensor"
SOURCES = "source_sensor"
REPORT_WATCH = "report_watch_sensor"


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def failed_run_sensor(settings: Settings, now: Callable[[], datetime.datetime] = _now) -> dg.SensorDefinition:
    """The runs, checks and ticks that failed; see `failed_runs`. `now` is its clock."""

    @dg.sensor(
        name=FAILED_RUNS,
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Every 15 s: runs of schedules and sensors that have failed, their retries included, become one "
        "message each, with the step and the cause. So do checks that failed with ERROR, and ticks of schedules and "
        "sensors that raised. The same cause again is counted, with a reminder after hours, and an all-clear at its "
        "end. Runs started manually and backfills send nothing.",
    )
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from metrics_platform.defs.health.failed_runs import tick  # noqa: PLC0415

        return tick(context, settings, now())

    return evaluate


def source_sensor(settings: Settings, now: Callable[[], datetime.datetime] = _now) -> dg.SensorDefinition:
    """The sources; see `source_probe`. `now` is its clock."""

    @dg.sensor(
        name=SOURCES,
        minimum_interval_seconds=120,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Every 2 minutes: for how long each source has had no events where events are usual "
        "(METRICS_FEED_STALE_HOURS, METRICS_MESSAGES_STALE_HOURS), and whether the last day and the latest slots have "
        "as many rows as usual. The checks of the sources show what was found.",
    )
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        from metrics_platform.defs.health.source_probe import tick  # noqa: PLC0415

        return tick(context, settings, now())

    return evaluate


def report_watch_sensor(settings: Settings, now: Callable[[], datetime.datetime] = _now) -> dg.SensorDefinition:
    """The morning report; see `report_watch`. `now` is its clock."""

    @dg.sensor(
        name=REPORT_WATCH,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Every minute: an alert if the report has not been delivered {settings.report_grace_minutes} "
        f"minutes after its time ({settings.report_at:%H:%M} {settings.timezone}), with what stopped it. Not while "
        "only Telegram is away: then the report itself is on its way. Only while daily_report_schedule is on.",
    )
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from metrics_platform.defs.health.report_watch import tick  # noqa: PLC0415

        return tick(context, settings, now())

    return evaluate
