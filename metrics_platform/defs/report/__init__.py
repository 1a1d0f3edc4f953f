"""The morning report: its asset, its job and its schedule."""

from __future__ import annotations

import dagster as dg

from metrics_platform.defs.report.assets import daily_report_asset, daily_report_job, daily_report_schedule
from metrics_platform.settings import Settings


def report_definitions(settings: Settings) -> dg.Definitions:
    """The definitions of the report for these settings."""
    job = daily_report_job()
    return dg.Definitions(
        assets=[daily_report_asset(settings)],
        jobs=[job],
        schedules=[daily_report_schedule(job, settings)],
    )
