"""Defaults of all schedules."""

from __future__ import annotations

import dagster as dg

from metrics_platform.settings import Settings


def default_schedule_status(settings: Settings) -> dg.DefaultScheduleStatus:
    """The status of a schedule until it is switched in Dagster's UI."""
    return dg.DefaultScheduleStatus.RUNNING if settings.schedules_on else dg.DefaultScheduleStatus.STOPPED
