"""Schedules, sensors and their ticks, as Dagster's daemon stores them."""

from __future__ import annotations

import datetime

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._utils.error import SerializableErrorInfo

LOCATION = "metrics_platform"


def switch_on(
    instance: dg.DagsterInstance,
    name: str,
    kind: InstigatorType = InstigatorType.SCHEDULE,
    *,
    status: InstigatorStatus = InstigatorStatus.DECLARED_IN_CODE,
    since: datetime.datetime | None = None,
    cursor: str | None = None,
) -> InstigatorState:
    """A schedule or sensor that is on by its default, or as it was switched in the UI."""
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), "__repository__")
    started = since and since.timestamp()
    schedule = ScheduleInstigatorData("* * * * *", start_timestamp=started)
    data = schedule if kind == InstigatorType.SCHEDULE else SensorInstigatorData(cursor=cursor)
    state = InstigatorState(RemoteInstigatorOrigin(repository, name), kind, status, data)
    instance.add_instigator_state(state)
    return state


def tick(
    instance: dg.DagsterInstance,
    state: InstigatorState,
    at: datetime.datetime,
    *,
    error: SerializableErrorInfo | None = None,
    in_a_row: int = 1,
) -> None:
    """A tick that ended at `at`: skipped, or failed with `error`, as the `in_a_row`-th failure in a row."""
    instance.create_tick(
        TickData(
            instigator_origin_id=state.instigator_origin_id,
            instigator_name=state.name,
            instigator_type=state.instigator_type,
            status=TickStatus.FAILURE if error else TickStatus.SKIPPED,
            timestamp=at.timestamp() - 1,
            end_timestamp=at.timestamp(),
            selector_id=state.selector_id,
            error=error,
            failure_count=1 if error else 0,
            consecutive_failure_count=in_a_row if error else 0,
        )
    )


def raised(text: str) -> SerializableErrorInfo:
    """The error of a sensor whose function raised, as Dagster wraps it."""
    cause = SerializableErrorInfo(f"RuntimeError: {text}\n", [], "RuntimeError")
    return SerializableErrorInfo("SensorExecutionError: Error occurred\n", [], "SensorExecutionError", cause)


def unreachable() -> SerializableErrorInfo:
    """The error of every tick while the code server is gone."""
    return SerializableErrorInfo("DagsterUserCodeUnreachableError: no server\n", [], "DagsterUserCodeUnreachableError")
