"""The delivery of queued messages: the job `notify`, its sensor, the asset `notifications`, and the channels' check.

The asset has a partition per message. The sensor starts a run when a message is due and no such run is queued or
running. It never sends. Nothing is lost if it fails or is killed: the journal has all waiting messages, and a run
rereads it before each message.

Other features queue a message with `storage.enqueue` (from a run) or `storage.queued` (from a sensor).

The code that sends is imported on use: most processes of the platform load this module and never send.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions it is given.

import datetime
import time
import uuid
from collections.abc import Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from metrics_platform.defs.resources import Cursor, TelegramResource
from metrics_platform.settings import Settings

GROUP = "delivery"
ASSET = "notifications"
KEY = dg.AssetKey(ASSET)
PARTITIONS = dg.DynamicPartitionsDefinition(name=ASSET)
JOB = "notify"
DRAIN = "send_waiting"
# Its runs may queue alerts.
MONITOR_JOB = "anomaly_check"
CHANNELS = "channels"
# Assets whose runs queue messages. Alerts about the platform itself are queued by sensors.
SENDERS = ("daily_report", "incidents")
CHECK = "channels_answer"
CHECK_JOB = "check_channels"
SENSOR = "notify_sensor"
# Dagster ends a run of `notify` that takes longer, and another one continues. Usually the run ends itself earlier.
MAX_RUN_SECONDS = 900
# Dagster evaluates sensors every 5 s. A tick therefore waits for a message until the next one: an alert starts its run
# within half a second instead of 2.5 s on average.
TICK_SECONDS = 4.5
_POLL_SECONDS = 0.5
# A run of `notify` is started when a check of the monitor begins: its process is then ready when the check queues an
# alert, 4 s earlier than otherwise.
_JUST_STARTED = datetime.timedelta(seconds=20)
# Identifies this process: the channels are checked once after each start of the code location.
_PROCESS = uuid.uuid4().hex
_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
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


def delivery_definitions(settings: Settings) -> dg.Definitions:
    """The definitions of the delivery for these settings."""
    channels = dg.AssetSpec(  # never materialised: its check keeps its last result
        CHANNELS,
        group_name=GROUP,
        kinds={*settings.channels} or {"outbox"},
        owners=[settings.owner],
        description="The channels that messages are sent over: Telegram, Slack and e-mail if they are set up, else the "
        "outbox folder. The check asks each channel whether it would accept a message, and sends none.",
    )
    check_job: Any = dg.define_asset_job(
        CHECK_JOB,
        selection=dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey(CHANNELS), CHECK)),
        executor_def=dg.in_process_executor,
        tags={"dagster/priority": "5", "dagster/max_retries": "0", "dagster/max_runtime": "900"},
        description="Checks whether every channel would accept a message. Sends nothing.",
    )
    jobs = [notify_job(settings), check_job]
    return dg.Definitions(
        assets=[channels, notifications_asset(settings)],
        asset_checks=[channels_check(settings)],
        jobs=jobs,
        sensors=[notify_sensor(jobs, settings)],
    )


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
        # The job has its own resources: if it took the code location's, Dagster would rebuild it and warn.
        resource_defs={"telegram": TelegramResource.for_settings(settings)},
        executor_def=dg.in_process_executor,
        # It precedes everything else in the queue. The sensor, and not Dagster, replaces a run that was killed.
        tags={"dagster/priority": "10", "dagster/max_retries": "0", "dagster/max_runtime": str(MAX_RUN_SECONDS)},
        description="Sends every message that is due, one after the other. Started by `notify_sensor`. Each message is "
        "a partition of the asset `notifications`, with its preview, its attempts and the channels' answers.",
    )
    def notify() -> None:
        send_waiting()

    return notify


# --- the sensor -------------------------------------------------------------------------------------------------------


def notify_sensor(jobs: Sequence[Any], settings: Settings) -> dg.SensorDefinition:
    @dg.sensor(
        name=SENSOR,
        jobs=jobs,
        minimum_interval_seconds=3,  # less than Dagster's 5 s: with 5, a sensor may miss a tick and wait for 10
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts a run of `notify` as soon as a message is due and none is queued or running. Each tick "
        "says why. Switched off, messages wait.",
    )
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return _tick(context, settings)

    return evaluate


def _tick(context: dg.SensorEvaluationContext, settings: Settings) -> dg.SensorResult:
    from metrics_platform.defs.delivery.storage import event_log, queue_of  # noqa: PLC0415  (most processes never tick)
    from metrics_platform.notifications.history import Position  # noqa: PLC0415
    from metrics_platform.notifications.queueing import next_step  # noqa: PLC0415

    class _NotifyCursor(Cursor):
        position: Position = Position()
        checked_by: str = ""

    cursor = _NotifyCursor.from_cursor(context.cursor)
    journal = queue_of(event_log(context.instance), settings, cursor.position, _now())
    requests = []
    if cursor.checked_by != _PROCESS:
        requests.append(dg.RunRequest(run_key=f"{CHECK_JOB}-{_PROCESS}", job_name=CHECK_JOB))
    deadline = time.monotonic() + (0 if requests else TICK_SECONDS)
    while True:
        started = time.monotonic()
        step = next_step(journal.waiting(), settings, _now(), journal.reached)
        is_needed = step.is_due or _check_has_started(context.instance, _now())
        is_running = is_needed and _is_running(context.instance, _now())
        if (is_needed and not is_running) or time.monotonic() >= deadline:
            break
        time.sleep(max(_POLL_SECONDS, 4 * (time.monotonic() - started)))  # rereading hundreds of messages takes a while
    if is_needed and not is_running:
        position = journal.position.model_dump_json()
        config = dg.RunConfig(ops={DRAIN: {"config": {"position": position}}})
        requests.append(dg.RunRequest(job_name=JOB, run_config=config))
    reason = "a run of notify is sending" if is_running else step.reason
    new_cursor = _NotifyCursor(position=journal.position, checked_by=_PROCESS)
    return dg.SensorResult(
        run_requests=requests or None,
        skip_reason=None if requests else dg.SkipReason(f"{reason[:1].upper()}{reason[1:]}."),
        cursor=new_cursor.model_dump_json(),
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _is_running(instance: dg.DagsterInstance, now: datetime.datetime) -> bool:
    """Whether a run of `notify` is queued or running. A run that takes too long counts as killed."""
    active = [status for status in dg.DagsterRunStatus if status not in _ENDED]
    for record in instance.get_run_records(dg.RunsFilter(job_name=JOB, statuses=active)):
        started = record.start_time or record.create_timestamp.timestamp()
        is_queued = record.dagster_run.status == dg.DagsterRunStatus.QUEUED
        if is_queued or now.timestamp() - started < MAX_RUN_SECONDS:
            return True
    return False


def _check_has_started(instance: dg.DagsterInstance, now: datetime.datetime) -> bool:
    checks = dg.RunsFilter(job_name=MONITOR_JOB, statuses=[dg.DagsterRunStatus.STARTED])
    records = instance.get_run_records(checks, limit=1)
    return any(now.timestamp() - (record.start_time or 0) < _JUST_STARTED.total_seconds() for record in records)


# --- the channels -----------------------------------------------------------------------------------------------------


def channels_check(settings: Settings) -> dg.AssetChecksDefinition:
    """The check that asks every channel whether it would accept a message, without sending one."""

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
        texts = [f"{finding.subject}: {finding.detail}. {finding.remedy}".strip() for finding in problems or findings]
        rows = [
            dg.TableRecord(
                {"what": finding.subject, "status": finding.status, "found": finding.detail, "to do": finding.remedy}
            )
            for finding in findings
        ]
        return dg.AssetCheckResult(
            passed=not problems,
            description=" · ".join(texts),
            metadata={"findings": dg.MetadataValue.table(rows)},
        )

    return channels_answer
