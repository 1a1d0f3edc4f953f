"""Alerts about the platform itself: its sources, its runs, checks and ticks, and its report.

What a tick of a sensor does is loaded at the tick: most processes never do.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions it is given.

import datetime
from importlib import import_module
from typing import Any

import dagster as dg

from metrics_platform.catalog import load_catalog_or_builtin
from metrics_platform.defs.health.sources import source_checks
from metrics_platform.settings import Settings

SOURCES = "source_sensor"


def health_definitions(settings: Settings) -> dg.Definitions:
    """The definitions of the platform's own health for these settings."""
    return dg.Definitions(
        asset_checks=source_checks(settings, load_catalog_or_builtin(settings)),
        sensors=_sensors(settings),
    )


def _sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """A sensor for the failures of runs, checks and ticks, one for the sources, one for the morning report."""
    return [
        _sensor(
            "failed_run_sensor",
            15,
            "failed_runs",
            settings,
            "Every 15 s: runs of schedules and sensors that have failed, their retries included, become one message "
            "each, with the step and the cause. So do checks that failed with ERROR, and ticks of schedules and "
            "sensors that raised. The same cause again is counted, with a reminder after hours, and an all-clear at "
            "its end. Runs started manually and backfills send nothing.",
        ),
        _sensor(
            SOURCES,
            120,
            "source_probe",
            settings,
            "Every 2 minutes: for how long each source has had no events where events are usual "
            "(METRICS_FEED_STALE_HOURS, METRICS_MESSAGES_STALE_HOURS), and whether the last day and the latest slots "
            "have as many rows as usual. The checks of the sources show what was found.",
        ),
        _sensor(
            "report_watch_sensor",
            60,
            "report_watch",
            settings,
            f"Every minute: an alert if the report has not been delivered {settings.report_grace_minutes} minutes "
            f"after its time ({settings.report_at:%H:%M} {settings.timezone}), with what stopped it. Not while only "
            "Telegram is away: then the report itself is on its way. Only while daily_report_schedule is on.",
        ),
    ]


def _sensor(name: str, seconds: int, module: str, settings: Settings, description: str) -> dg.SensorDefinition:
    """A sensor whose ticks call `tick` of a module of this folder."""

    @dg.sensor(
        name=name,
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )
    def evaluate(context: dg.SensorEvaluationContext) -> Any:
        tick = import_module(f"metrics_platform.defs.health.{module}").tick
        return tick(context, settings, datetime.datetime.now(datetime.UTC))

    return evaluate
