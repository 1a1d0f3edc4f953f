"""The 15-minute monitor: the rollup by slot, its verdicts, the incidents; the job and its schedule."""

from __future__ import annotations

import dagster as dg

from metrics_platform.catalog import load_catalog_or_builtin
from metrics_platform.defs.monitoring.assets import anomaly_check_job, anomaly_check_schedule, monitoring_assets
from metrics_platform.settings import Settings


def monitoring_definitions(settings: Settings) -> dg.Definitions:
    """The definitions of the monitor for these settings."""
    job = anomaly_check_job()
    catalog = load_catalog_or_builtin(settings)
    return dg.Definitions(
        assets=monitoring_assets(settings, catalog),
        jobs=[job],
        schedules=[anomaly_check_schedule(job, settings, catalog)],
    )
