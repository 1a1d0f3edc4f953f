"""A run that schedules or sensors have started, and that failed for good, is told: job, step, partition, the cause.

It looks at Dagster's own storage and nothing else, so that «ClickHouse is down» gets out. A plain sensor, not one on
failures: such a one loses an event whose body raises, and handles five runs a tick.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions it is given.

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import dagster as dg
from pydantic import BaseModel, ConfigDict, ValidationError

from metrics_platform.defs.delivery.assets import CHECK_JOB
from metrics_platform.defs.delivery.storage import asking
from metrics_platform.defs.delivery.waiting import JOB as NOTIFY_JOB
from metrics_platform.notifications.kinds import FailedRun

SENSOR = "failed_run_sensor"
_SECONDS_BETWEEN_TICKS = 15
# Runs are looked at again for so long: other machines' clocks differ.
_OVERLAP = datetime.timedelta(minutes=5)
# What people start by hand they look at themselves; a backfill of a month must not fill a chat.
_STARTED_BY = ("dagster/schedule_name", "dagster/sensor_name")
# Their failures are about messages: a message about each would have no end. The journal and the UI show them.
_ABOUT_MESSAGES = (NOTIFY_JOB, CHECK_JOB)
_ATTEMPT, _WILL_RETRY, _MOST_RETRIES = "dagster/retry_number", "dagster/will_retry", "dagster/max_retries"
_FIRST_RUN = "dagster/root_run_id"


class _Remembered(BaseModel):
    """The sensor's cursor: failures up to this moment are told, and which of the last minutes' are."""

    model_config = ConfigDict(frozen=True)

    until: float
    told: tuple[str, ...] = ()


def failed_run_sensor(
    now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
) -> dg.SensorDefinition:
    """The sensor; `now` is its clock."""

    @dg.sensor(
        name=SENSOR,
        minimum_interval_seconds=_SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Every 15 s: runs of schedules and sensors that have failed, their retries included, become one "
        "message each, with the step and the cause. Runs started by hand and backfills do not.",
    )
    def tick(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        remembered = _remembered(context.cursor, now())
        since = datetime.datetime.fromtimestamp(remembered.until, datetime.UTC) - _OVERLAP
        records = [record for record in _failed(context.instance, since) if _is_told(record.dagster_run)]
        fresh = [record for record in records if record.dagster_run.run_id not in remembered.told]
        events = [_event(context.instance, record) for record in fresh]
        until = max([remembered.until, *(record.update_timestamp.timestamp() for record in records)])
        names = ", ".join(f"{event.job} ({(event.run_id or '')[:8]})" for event in events)
        return dg.SensorResult(
            skip_reason=f"Told: {names}." if events else "No run has failed.",
            cursor=_Remembered(until=until, told=tuple(r.dagster_run.run_id for r in records)).model_dump_json(),
            asset_events=asking(*events),
        )

    return tick


def _remembered(cursor: str | None, now: datetime.datetime) -> _Remembered:
    """What the cursor says; at the first tick of all, that failures count from now on."""
    try:
        return _Remembered.model_validate_json(cursor or "")
    except ValidationError:
        return _Remembered(until=now.timestamp())


def _failed(instance: dg.DagsterInstance, since: datetime.datetime) -> Iterable[dg.RunRecord]:
    selection = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
    return sorted(instance.get_run_records(selection), key=lambda record: record.update_timestamp)


def _is_told(run: dg.DagsterRun) -> bool:
    by_itself = any(tag in run.tags for tag in _STARTED_BY) and "dagster/backfill" not in run.tags
    return by_itself and run.job_name not in _ABOUT_MESSAGES and run.tags.get(_WILL_RETRY) != "true"


def _event(instance: dg.DagsterInstance, record: dg.RunRecord) -> FailedRun:
    run = record.dagster_run
    failures = list(_step_failures(instance, run.run_id))
    attempt = int(run.tags.get(_ATTEMPT, 0)) + 1
    return FailedRun(
        # Of all retries of one run only the last is told.
        key=f"run-{run.tags.get(_FIRST_RUN, run.run_id)}",
        occurred_at=datetime.datetime.fromtimestamp(
            record.end_time or record.update_timestamp.timestamp(), datetime.UTC
        ),
        run_id=run.run_id,
        job=run.job_name,
        steps=tuple(str(event.step_key) for event in failures),
        partition=_partition(run.tags),
        attempt=attempt,
        attempts=max(attempt, int(run.tags.get(_MOST_RETRIES, 0)) + 1),
        cause=_cause(failures[0]) if failures else _last_words(instance, run.run_id),
        killed=not failures,
    )


def _step_failures(instance: dg.DagsterInstance, run_id: str) -> Iterator[dg.DagsterEvent]:
    """The failures of steps, without those that only followed from another's."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        if entry.dagster_event is not None:
            yield entry.dagster_event


def _cause(event: dg.DagsterEvent) -> str:
    """What the step says of its failure, else the exception that all others came from."""
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    error: Any = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error else ""


def _last_words(instance: dg.DagsterInstance, run_id: str) -> str:
    """What Dagster itself says of the end of a run none of whose steps has failed."""
    messages = [
        entry.dagster_event.message or ""
        for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        if entry.dagster_event
    ]
    return messages[-1] if messages else ""


def _partition(tags: Mapping[str, str]) -> str | None:
    first, last = (tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    if first and last:
        return first if first == last else f"{first}…{last}"
    return tags.get("dagster/partition")
