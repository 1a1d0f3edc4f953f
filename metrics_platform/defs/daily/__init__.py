"""The daily load: sources, extracts, snapshot, merged table, slices and final table, with its job and schedule."""

from __future__ import annotations

import dagster as dg

from metrics_platform.catalog import load_catalog_or_builtin
from metrics_platform.defs.daily.assets import daily_assets, metric_daily_asset
from metrics_platform.defs.daily.schedule import daily_etl_job, daily_etl_schedule
from metrics_platform.defs.lineage import source_assets
from metrics_platform.settings import Settings


def daily_definitions(settings: Settings) -> dg.Definitions:
    """The definitions of the daily load for these settings."""
    job = daily_etl_job()
    catalog = load_catalog_or_builtin(settings)
    return dg.Definitions(
        assets=[
            *source_assets(settings, catalog),
            *daily_assets(settings),
            metric_daily_asset(settings, catalog),
        ],
        jobs=[job],
        schedules=[daily_etl_schedule(job, settings)],
    )
