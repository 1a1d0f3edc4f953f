"""Alerts about the platform itself: its sources, its runs, checks and ticks, and its report.

The modules of the sensors are imported at a tick: most processes never tick.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions it is given.

import datetime
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import dagster as dg

from metrics_platform.catalog import Source, load_catalog_or_builtin
from metrics_platform.settings import Settings

SOURCES = "source_sensor"
_CHECKS = {
    "is_fresh": "Events have not been missing for longer than the limit ({limits}), counting only hours of the week "
    "that usually have events. Checked every few minutes.",
    "day_volume": "The last complete day has as many rows as the same weekday of the weeks before.",
    "slot_volume": "The latest slot of 15 minutes has as many rows as the same one on that weekday of the weeks "
    "before.",
}


def health_definitions(settings: Settings) -> dg.Definitions:
    """A sensor for the failures of runs, checks and ticks, one for the sources, one for the morning report."""
    sensors = [
        _sensor(
            "failed_run_sensor",
            15,
            "failed_runs",
            settings,
            "Every 15 s: sends one message for each run of a schedule or sensor that has failed after its retries, "
            "with the step and the cause. It does the same for checks that failed with ERROR, and for failed ticks. "
            "If the same cause occurs again, it is counted, with a reminder after hours and an all-clear at the end. "
            "Manual runs and backfills send nothing.",
        ),
        _sensor(
            SOURCES,
            120,
            "sources",
            settings,
            "Every 2 minutes: checks how long each source has had no events at times when events are usual "
            "(METRICS_FEED_STALE_HOURS, METRICS_MESSAGES_STALE_HOURS), and whether the last day and the latest slots "
            "have as many rows as usual. The checks of the sources show the results.",
        ),
        _sensor(
            "report_watch_sensor",
            60,
            "report_watch",
            settings,
            f"Every minute: sends an alert with the reason if the report has not been delivered "
            f"{settings.report_grace_minutes} minutes after its time ({settings.report_at:%H:%M} "
            f"{settings.timezone}). It does not if only Telegram is down, because the report is then sent later, or if "
            "daily_report_schedule is off.",
        ),
    ]
    sources = load_catalog_or_builtin(settings).sources.values()
    return dg.Definitions(asset_checks=[_source_checks(source, settings) for source in sources], sensors=sensors)


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


def _source_checks(source: Source, settings: Settings) -> dg.AssetChecksDefinition:
    warning, critical = (limit.total_seconds() / 3600 for limit in source.stale_limits)
    limits = f"{warning:g} h, then {critical:g} h"
    specs = [
        dg.AssetCheckSpec(name, asset=source.name, description=text.format(limits=limits))
        for name, text in _CHECKS.items()
    ]

    @dg.multi_asset_check(name=f"{source.name}_probe", specs=specs, can_subset=True)
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from metrics_platform.defs.health.sources import check_results  # noqa: PLC0415

        yield from check_results(context.selected_asset_check_keys, source, settings)

    return checks
