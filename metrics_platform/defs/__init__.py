"""The Dagster definitions, one folder per feature. Each folder builds its `Definitions` from the settings."""

from __future__ import annotations

import warnings

import dagster as dg

from metrics_platform.defs.clean_up import clean_up_definitions
from metrics_platform.defs.daily import daily_definitions
from metrics_platform.defs.delivery.notify import delivery_definitions
from metrics_platform.defs.executor import run_executor
from metrics_platform.defs.health import health_definitions
from metrics_platform.defs.monitoring.assets import monitoring_definitions
from metrics_platform.defs.report.assets import report_definitions
from metrics_platform.defs.resources import ClickHouseResource, TelegramResource
from metrics_platform.settings import Settings


def build_definitions(settings: Settings) -> dg.Definitions:
    """All definitions of the code location for these settings."""
    with warnings.catch_warnings():
        # Single-run backfills and missing upstream partitions are "beta" in Dagster 1.13, which is pinned.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.Definitions.merge(
            daily_definitions(settings),
            report_definitions(settings),
            monitoring_definitions(settings),
            delivery_definitions(settings),
            health_definitions(settings),
            clean_up_definitions(settings),
            dg.Definitions(
                resources={
                    "clickhouse": ClickHouseResource.for_settings(settings),
                    "telegram": TelegramResource.for_settings(settings),
                },
                executor=run_executor,
            ),
        )
