"""What a run of `notify` does: send what is due, and show each attempt in its message's partition."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from typing import Any

import dagster as dg

from metrics_platform.defs.delivery.metadata import message_problem, run_metadata
from metrics_platform.defs.delivery.names import ASSET, KEY, MONITOR_JOB
from metrics_platform.defs.delivery.storage import EventLog, queue_of, recent_sends
from metrics_platform.defs.resources import TelegramResource
from metrics_platform.notifications.channels import channels_for
from metrics_platform.notifications.dispatcher import Attempt, Dispatcher
from metrics_platform.notifications.history import Journal, Position, Reopened
from metrics_platform.notifications.kinds import Digest
from metrics_platform.notifications.telegram.client import GROUP_SECONDS
from metrics_platform.notifications.templates import Composer
from metrics_platform.settings import Settings

Context = dg.OpExecutionContext | dg.AssetExecutionContext
# Dagster lists this many partitions. Older ones leave its list, their entries stay in its event log.
MOST_PARTITIONS = 2000
# A check of the monitor is waited for, because it may queue an alert. The first check of a history takes longer.
_LONGEST_CHECK_SECONDS = 60


def send_due(context: dg.OpExecutionContext, position: str, telegram: TelegramResource, settings: Settings) -> None:
    """Send every message that is due; `position`: where to read the queue from, as JSON.

    Raises:
        dg.Failure: some could not be delivered; it names them.
    """
    storage = EventLog(context.instance, context.log_event)
    start = Position.model_validate_json(position)
    journal = queue_of(storage, settings, start, datetime.datetime.now(datetime.UTC))
    problems: dict[str, str] = {}

    def report(attempt: Attempt) -> None:
        problem = message_problem([attempt], journal.history(attempt.key))
        problems[f"{attempt.key} over {attempt.channel}"] = problem
        _show(context, attempt, journal, problem, settings)

    checks = dg.RunsFilter(job_name=MONITOR_JOB, statuses=[dg.DagsterRunStatus.STARTED])
    if context.instance.get_runs_count(checks):
        # An alert has a chart. What draws it takes a second to load, which passes while the check computes.
        import metrics_platform.charts.figure  # noqa: F401, PLC0415
    deadline = time.monotonic() + _LONGEST_CHECK_SECONDS
    step = _dispatcher(context, journal, telegram, settings).drain(
        report, expects_more=lambda: time.monotonic() < deadline and context.instance.get_runs_count(checks) > 0
    )
    context.log.info(f"Nothing more is sent now: {step.reason}.")
    failed = {what: problem for what, problem in problems.items() if problem}
    if failed:
        listed = " ".join(f"{what}: {problem}" for what, problem in list(failed.items())[:5])
        text = f"{len(failed)} of {len(problems)} deliveries failed. {listed}"
        raise dg.Failure(text, metadata=failed, allow_retries=False)


def send_one(
    context: dg.AssetExecutionContext, telegram: TelegramResource, settings: Settings, *, again: bool
) -> dict[str, Any]:
    """Send the message of the run's partition; `again`: although it was closed. Returns its metadata.

    Raises:
        dg.Failure: the message is unknown or could not be delivered.
    """
    key = context.partition_key
    journal = Journal(EventLog(context.instance, context.log_event))
    if journal.history(key).event is None:
        raise dg.Failure(
            f"No notification {key!r} exists: partitions of {ASSET} are created for queued messages. To send a "
            "test message, run: metrics-platform notify-test",
            allow_retries=False,
        )
    if again:
        journal.write(key, Reopened())
    attempts = _dispatcher(context, journal, telegram, settings).deliver(key)
    history = journal.history(key)
    metadata = run_metadata(attempts, history, settings)
    if problem := message_problem(attempts, history):
        raise dg.Failure(problem, metadata=metadata, allow_retries=False)
    return metadata


def _show(context: dg.OpExecutionContext, attempt: Attempt, journal: Journal, problem: str, settings: Settings) -> None:
    """Record an attempt in the message's partition: a materialisation once it is delivered, else an observation."""
    history = journal.history(attempt.key)
    parts = history.event.notifications if isinstance(history.event, Digest) else ()
    _list_partitions(context.instance, [attempt.key, *parts], keep=journal.position.open)
    metadata = run_metadata([attempt], history, settings)
    if problem:
        context.log_event(dg.AssetObservation(KEY, partition=attempt.key, description=problem, metadata=metadata))
    elif history.closed:
        context.log_event(dg.AssetMaterialization(KEY, partition=attempt.key, metadata=metadata))
        for part in parts:
            context.log_event(dg.AssetMaterialization(KEY, partition=part, metadata={"sent within": attempt.key}))


def _list_partitions(instance: dg.DagsterInstance, keys: Sequence[str], keep: Sequence[str]) -> None:
    """Add partitions to Dagster's list, and remove the oldest ones beyond `MOST_PARTITIONS` that are not to `keep`."""
    known = instance.get_dynamic_partitions(ASSET)
    if new := [key for key in keys if key not in known]:
        instance.add_dynamic_partitions(ASSET, new)
        for outdated in {*known[: max(0, len(known) + len(new) - MOST_PARTITIONS)]} - {*keep, *keys}:
            instance.delete_dynamic_partition(ASSET, outdated)


def _dispatcher(context: Context, journal: Journal, telegram: TelegramResource, settings: Settings) -> Dispatcher:
    warn = context.log.warning
    recent = recent_sends(context.instance, time.time() - GROUP_SECONDS)
    channels = channels_for(telegram.applied_to(settings), telegram.retry_policy, recent=recent, warn=warn)
    return Dispatcher(journal, channels, Composer.for_settings(settings, warn), settings, warn=warn)
