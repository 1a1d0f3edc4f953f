"""The job `notify` that sends what is queued, and the asset `notifications` with a partition for each message.

What sends is imported on use: most processes of the platform load this page and never send.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions it is given.

from typing import Any

import dagster as dg
from pydantic import Field

from metrics_platform.defs.delivery.names import (
    ASSET,
    CHANNELS,
    DRAIN,
    GROUP,
    JOB,
    LONGEST_RUN_SECONDS,
    PARTITIONS,
    SENDERS,
)
from metrics_platform.defs.resources import TelegramResource
from metrics_platform.settings import Settings

_DESCRIPTION = """\
Every message that leaves the platform: reports, alerts, all-clears, failures. Each has a partition, named by the
message's key. The job `notify` sends them over Telegram (or Slack, e-mail; to the outbox folder in a dry run).

**A message is stored here before it is sent**, and marked as sent only after the channel has answered. What could not
be delivered is tried again until it is too old. *Materialize* a partition to try at once; with the config
`again: true`, a message that was delivered is sent once more.

Each partition shows the message as users get it, its pictures, every attempt with the channel's answer, and a link.
"""


class NotifyConfig(dg.Config):
    """How a message is sent manually."""

    again: bool = Field(
        default=False,
        description="Send it once more although it was delivered or given up: users then have it twice.",
    )


class DrainConfig(dg.Config):
    """Where to read the queue from."""

    position: str = Field(default="{}", description="Set by the sensor. Without it, the whole queue is read.")


def notifications_asset(settings: Settings) -> dg.AssetsDefinition:
    """The asset whose partitions are messages. Materialising one sends it."""

    @dg.asset(
        name=ASSET,
        partitions_def=PARTITIONS,
        # Only for the lineage graph: a message is sent when it is queued, not when these are materialised.
        deps=[CHANNELS, *(dg.AssetDep(name, partition_mapping=dg.LastPartitionMapping()) for name in SENDERS)],
        group_name=GROUP,
        kinds={*settings.channels} or {"outbox"},
        owners=[settings.owner],
        description=_DESCRIPTION,
        pool=JOB,
    )
    def notifications(
        context: dg.AssetExecutionContext, config: NotifyConfig, telegram: TelegramResource
    ) -> dg.MaterializeResult[Any]:
        from metrics_platform.defs.delivery.sending import send_one  # noqa: PLC0415

        return dg.MaterializeResult(metadata=send_one(context, telegram, settings, again=config.again))

    return notifications


def notify_job(settings: Settings) -> dg.JobDefinition:
    """The job that sends what is queued: in one process, because a message must not wait for processes to start."""

    @dg.op(name=DRAIN, pool=JOB, description="Sends every message that is due, and rereads the queue before each one.")
    def send_waiting(context: dg.OpExecutionContext, config: DrainConfig, telegram: TelegramResource) -> None:
        from metrics_platform.defs.delivery.sending import send_due  # noqa: PLC0415

        send_due(context, config.position, telegram, settings)

    @dg.job(
        name=JOB,
        # Its own: a job that gets them from the code location is made anew, and so is its sensor, with a warning.
        resource_defs={"telegram": TelegramResource.for_settings(settings)},
        executor_def=dg.in_process_executor,
        # It precedes everything else in the queue. The sensor replaces a run that was killed, not Dagster.
        tags={"dagster/priority": "10", "dagster/max_retries": "0", "dagster/max_runtime": str(LONGEST_RUN_SECONDS)},
        description="Sends every message that is due, one after the other. Started by `notify_sensor`. Each message is "
        "a partition of the asset `notifications`, with its preview, its attempts and the channels' answers.",
    )
    def notify() -> None:
        send_waiting()

    return notify
