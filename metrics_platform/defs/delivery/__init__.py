"""Delivery: every message is sent by the job `notify`, which `notify_sensor` starts, and recorded in the journal.

Other features queue a message with `storage.enqueue` (from a run) or `storage.queued` (from a sensor).
"""

from __future__ import annotations

import dagster as dg

from metrics_platform.defs.delivery.channels_check import channels_asset, channels_check, check_channels_job
from metrics_platform.defs.delivery.notify import notifications_asset, notify_job, notify_sensor
from metrics_platform.settings import Settings


def delivery_definitions(settings: Settings) -> dg.Definitions:
    """The definitions of the delivery for these settings."""
    jobs = [notify_job(settings), check_channels_job()]
    return dg.Definitions(
        assets=[channels_asset(settings), notifications_asset(settings)],
        asset_checks=[channels_check(settings)],
        jobs=jobs,
        sensors=[notify_sensor(jobs, settings)],
    )
