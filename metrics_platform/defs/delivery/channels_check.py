"""The asset `channels`, and the check that asks each channel whether it would take a message."""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions it is given.

from typing import Any

import dagster as dg

from metrics_platform.defs.delivery.names import CHANNELS, CHECK, CHECK_JOB, GROUP
from metrics_platform.settings import Settings


def channels_asset(settings: Settings) -> dg.AssetSpec:
    """The channels as an asset that is never materialised: its check keeps its last result."""
    return dg.AssetSpec(
        CHANNELS,
        group_name=GROUP,
        kinds={*settings.channels} or {"outbox"},
        owners=[settings.owner],
        description="The channels that messages are sent over: Telegram, Slack and e-mail if they are set up, else the "
        "outbox folder. The check asks each channel whether it would accept a message, and sends none.",
    )


def channels_check(settings: Settings) -> dg.AssetChecksDefinition:
    """The check that asks every channel whether it would take a message, without sending one."""

    @dg.asset_check(
        asset=CHANNELS,
        name=CHECK,
        description="Telegram knows the bot and the chat and lets it write there; Slack's webhook and the mail server "
        "answer. Nothing is sent. Runs when the platform starts, and on demand.",
    )
    def channels_answer(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        from metrics_platform.notifications.channels import inspect_channels  # noqa: PLC0415

        findings = list(inspect_channels(settings))
        problems = [finding for finding in findings if finding.status == "problem"]
        for finding in problems:
            context.log.error(f"{finding.subject}: {finding.detail} {finding.remedy}")
        texts = [f"{each.subject}: {each.detail}. {each.remedy}".strip() for each in problems or findings]
        rows = [
            dg.TableRecord({"what": each.subject, "status": each.status, "found": each.detail, "to do": each.remedy})
            for each in findings
        ]
        return dg.AssetCheckResult(
            passed=not problems,
            description=" · ".join(texts),
            metadata={"findings": dg.MetadataValue.table(rows)},
        )

    return channels_answer


def check_channels_job() -> Any:
    """The job of the check alone."""
    return dg.define_asset_job(
        CHECK_JOB,
        selection=dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey(CHANNELS), CHECK)),
        executor_def=dg.in_process_executor,
        tags={"dagster/priority": "5", "dagster/max_retries": "0", "dagster/max_runtime": "900"},
        description="Checks whether every channel would accept a message. Sends nothing.",
    )
