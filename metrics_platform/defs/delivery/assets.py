"""The asset `notifications`, one partition for each message, and the job `notify` that delivers one of them per run.

What delivers is imported on use: most processes of the platform load this page and never send.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions it is given.

import datetime
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from metrics_platform.defs.delivery.names import ASSET, CHANNELS, CHECK, CHECK_JOB, JOB, PARTITIONS
from metrics_platform.defs.resources import TelegramResource
from metrics_platform.notifications.configured import configured
from metrics_platform.settings import Settings

if TYPE_CHECKING:
    from metrics_platform.defs.delivery.storage import DagsterJournal, Stored
    from metrics_platform.notifications.delivery import Courier
    from metrics_platform.notifications.kinds import Event

GROUP = "delivery"
_DESCRIPTION = """\
Every message that leaves the platform: reports, alerts, all-clears, failures. One partition for each, named by the
message's key; a run of `notify` delivers it over Telegram (or Slack, e-mail; the outbox folder in a dry run).

**A message is stored here before it is sent**, and marked as sent only after the channel has answered. What could not
be delivered is asked for again by `notify_sensor`, until it is too old. *Materialize* a partition by hand to try at
once; with the config `again: true`, one that has been delivered is sent once more.

Each run shows the message as people get it, its pictures, every attempt with the channel's answer, and a link to it.
"""


class NotifyConfig(dg.Config):
    """How a run of `notify` delivers its message."""

    again: bool = Field(
        default=False,
        description="Send it once more, although it has been delivered or given up: it arrives twice then.",
    )
    only_fallback: bool = Field(
        default=False,
        description="Only over the fallback channel: the first one is known to be down (set by the sensor).",
    )


def notifications_asset(settings: Settings) -> dg.AssetsDefinition:
    """The asset whose partitions are messages."""

    @dg.asset(
        name=ASSET,
        partitions_def=PARTITIONS,
        deps=[CHANNELS],
        group_name=GROUP,
        kinds={*configured(settings)} or {"outbox"},
        owners=[settings.owner],
        description=_DESCRIPTION,
        pool=JOB,
    )
    def notifications(
        context: dg.AssetExecutionContext, config: NotifyConfig, telegram: TelegramResource
    ) -> dg.MaterializeResult[Any]:
        from metrics_platform.defs.delivery.metadata import run_metadata, what_failed  # noqa: PLC0415
        from metrics_platform.defs.delivery.storage import DagsterJournal  # noqa: PLC0415
        from metrics_platform.notifications.journal import Reopened, asked, current  # noqa: PLC0415
        from metrics_platform.notifications.routing import fallback, legs  # noqa: PLC0415

        key = context.partition_key
        journal = DagsterJournal(context.instance, context.log_event)
        event: Event | None = asked(current(each.entry for each in journal.stored(key)))
        if event is None:
            raise dg.Failure(
                f"Nobody has asked for a notification {key!r}. Partitions of {ASSET} are made when something is to be "
                "told; to send a test message, run: metrics-platform notify-test",
                allow_retries=False,
            )
        if config.again:
            journal.write(key, Reopened())
        courier = _courier(context, journal, telegram, settings)
        outcome = courier.deliver(
            key,
            legs(event, settings),
            fallback=fallback(event, settings),
            fallback_due=_waited(journal.stored(key)) >= settings.fallback_after,
            only_fallback=config.only_fallback,
        )
        metadata = run_metadata(outcome, journal.stored(key), settings)
        if problem := what_failed(outcome):
            raise dg.Failure(problem, metadata=metadata, allow_retries=False)
        return dg.MaterializeResult(metadata=metadata)

    return notifications


def _courier(
    context: dg.AssetExecutionContext, journal: "DagsterJournal", telegram: TelegramResource, settings: Settings
) -> "Courier":
    from metrics_platform.charts.draw import draw  # noqa: PLC0415
    from metrics_platform.defs.delivery.storage import recent_sends  # noqa: PLC0415
    from metrics_platform.notifications.channels import channels_for  # noqa: PLC0415
    from metrics_platform.notifications.delivery import Courier  # noqa: PLC0415
    from metrics_platform.notifications.telegram.client import GROUP_SECONDS  # noqa: PLC0415
    from metrics_platform.notifications.templates.writer import Writer  # noqa: PLC0415

    return Courier(
        journal,
        channels_for(
            telegram.applied_to(settings),
            patience=telegram.patience,
            recent=recent_sends(context.instance, time.time() - GROUP_SECONDS),
            warn=context.log.warning,
        ),
        writer_at=lambda moment: Writer.for_settings(settings, moment),
        draw=draw,
        warn=context.log.warning,
    )


def _waited(stored: "Iterable[Stored]") -> datetime.timedelta:
    """How long the notification has been waiting."""
    from metrics_platform.defs.delivery.waiting import asked_at  # noqa: PLC0415

    now = time.time()
    return datetime.timedelta(seconds=now - (asked_at(stored) or now))


def notify_job() -> Any:
    """The job that delivers one message: in one process, for a message must not wait for processes to start."""
    return dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.assets(ASSET),
        executor_def=dg.in_process_executor,
        # It goes before everything else in the queue. A killed run is asked for again by the sensor, not by Dagster.
        tags={"dagster/priority": "10", "dagster/max_retries": "0", "dagster/max_runtime": "900"},
        description="Delivers one message: its partition. Asked for by `notify_sensor`, one at a time; every try is a "
        "run that shows the message, its pictures and what the channels answered.",
    )


def channels_asset(settings: Settings) -> dg.AssetSpec:
    """What messages leave by, as an asset that nobody materialises: its check keeps its last result."""
    return dg.AssetSpec(
        CHANNELS,
        group_name=GROUP,
        kinds={*configured(settings)} or {"outbox"},
        owners=[settings.owner],
        description="What messages leave by: Telegram, Slack, e-mail, as far as they are set up; without any, the "
        "outbox folder. Its check asks each whether it would take a message, without sending one.",
    )


def channels_check(settings: Settings) -> dg.AssetChecksDefinition:
    """The check that asks every channel whether it would take a message, without sending one."""

    @dg.asset_check(
        asset=CHANNELS,
        name=CHECK,
        description="Telegram knows the bot and the chat and lets it write there; Slack's webhook and the mail server "
        "answer. Nothing is sent. Done when the platform starts, and on demand.",
    )
    def channels_answer(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        from metrics_platform.notifications.inspection import inspect_channels  # noqa: PLC0415

        findings = list(inspect_channels(settings))
        problems = [finding for finding in findings if finding.status == "problem"]
        for finding in problems:
            context.log.error(f"{finding.subject}: {finding.detail} {finding.remedy}")
        shown = problems or findings
        return dg.AssetCheckResult(
            passed=not problems,
            description=" · ".join(f"{each.subject}: {each.detail}. {each.remedy}".strip() for each in shown),
            metadata={
                "findings": dg.MetadataValue.table(
                    [
                        dg.TableRecord(
                            {"what": each.subject, "status": each.status, "found": each.detail, "to do": each.remedy}
                        )
                        for each in findings
                    ]
                )
            },
        )

    return channels_answer


def check_channels_job() -> Any:
    """The job of the check alone."""
    return dg.define_asset_job(
        CHECK_JOB,
        selection=dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey(CHANNELS), CHECK)),
        executor_def=dg.in_process_executor,
        tags={"dagster/priority": "5", "dagster/max_retries": "0", "dagster/max_runtime": "900"},
        description="Asks every channel whether it would take a message; sends nothing.",
    )
