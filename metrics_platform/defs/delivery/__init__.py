"""Out: every message leaves through the job `notify`, asked for by `notify_sensor`, remembered in the journal.

Other features ask for a message with `storage.ask` (from a run) or `storage.asking` (from a sensor).
"""

from __future__ import annotations

import dagster as dg

from metrics_platform.defs.delivery.assets import (
    channels_asset,
    channels_check,
    check_channels_job,
    notifications_asset,
    notify_job,
)
from metrics_platform.defs.delivery.sensor import notify_sensor
from metrics_platform.settings import Settings


def delivery_definitions(settings: Settings) -> dg.Definitions:
    """The definitions of the delivery for these settings."""
    jobs = [notify_job(), check_channels_job()]
    return dg.Definitions(
        assets=[channels_asset(settings), notifications_asset(settings)],
        asset_checks=[channels_check(settings)],
        jobs=jobs,
        sensors=[notify_sensor(jobs, settings)],
    )
