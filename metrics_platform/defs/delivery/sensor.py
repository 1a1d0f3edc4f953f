"""The sensor that asks for a run of `notify`, one message at a time: what to send is decided by `planning.plan`.

It never sends. Nothing is lost when it fails or is killed at any point: what is waiting is in the journal, and a run
that has been asked for is not asked for twice, by its run key.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions it is given.

import datetime
from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg

from metrics_platform.defs.delivery.names import SENSOR
from metrics_platform.settings import Settings

# Dagster looks every 5 s which sensors are due. One that asks for just that is due a moment later, and so at every
# other look: alerts waited for up to 10 s. From the launch of a check to Telegram's answer it was 15 s at the median,
# 23 s at the most; so it is 11 s and 14 s (`python -m benchmarks alert`).
SECONDS_BETWEEN_TICKS = 3


def notify_sensor(
    jobs: Sequence[Any],
    settings: Settings,
    now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
) -> dg.SensorDefinition:
    """The sensor; `now` is its clock."""

    @dg.sensor(
        name=SENSOR,
        jobs=jobs,
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Every 5 s: asks for a run of `notify` for the oldest message that waits, one at a time; makes one "
        "message of a burst; tries again what failed, less and less often, and gives up what is too old. Each tick "
        "says why. Switched off, messages wait.",
    )
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from metrics_platform.defs.delivery.tick import tick  # noqa: PLC0415  (most processes never tick)

        return tick(context, settings, now())

    return evaluate
