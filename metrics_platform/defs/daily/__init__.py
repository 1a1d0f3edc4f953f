"""The day: sources, extracts, snapshot, merged table, slices, the final table; the nightly job and its schedule."""

from __future__ import annotations

import dagster as dg

from metrics_platform.defs.daily.assets import daily_assets, source_assets
from metrics_platform.defs.daily.schedule import daily_etl_job, daily_etl_schedule
from metrics_platform.settings import Settings


def daily_definitions(settings: Settings) -> dg.Definitions:
    """The definitions of the daily load for these settings."""
    job = daily_etl_job()
    return dg.Definitions(
        assets=[*source_assets(settings), *daily_assets(settings)],
        jobs=[job],
        schedules=[daily_etl_schedule(job, settings)],
    )
