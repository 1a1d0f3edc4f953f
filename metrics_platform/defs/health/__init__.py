"""The platform watches itself: what went wrong in it is told to people."""

from __future__ import annotations

import dagster as dg

from metrics_platform.defs.health.failed_runs import failed_run_sensor


def health_definitions() -> dg.Definitions:
    """The definitions of the platform's own health."""
    return dg.Definitions(sensors=[failed_run_sensor()])
