"""Alerts about the platform itself: its sources, its runs, checks and ticks, and its report."""

from __future__ import annotations

import dagster as dg

from metrics_platform.catalog import load_catalog_or_builtin
from metrics_platform.defs.health.sensors import health_sensors
from metrics_platform.defs.health.source_checks import source_checks
from metrics_platform.settings import Settings


def health_definitions(settings: Settings) -> dg.Definitions:
    """The definitions of the platform's own health for these settings."""
    return dg.Definitions(
        asset_checks=source_checks(settings, load_catalog_or_builtin(settings)),
        sensors=health_sensors(settings),
    )
