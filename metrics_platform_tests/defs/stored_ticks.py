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
    instance: dg.DagsterInstance, name: str, kind: InstigatorType, *, cursor: str | None = None
) -> InstigatorState:
    """A schedule or sensor that is on."""
    origin = RemoteInstigatorOrigin(
        RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), "__repository__"), name
    )
    data = (
        ScheduleInstigatorData("* * * * *") if kind == InstigatorType.SCHEDULE else SensorInstigatorData(cursor=cursor)
    )
    state = InstigatorState(origin, kind, InstigatorStatus.DECLARED_IN_CODE, data)
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


def switched_on(
    schedule: str,
    at: datetime.datetime,
    cron: str = "0 11 * * *",
    status: InstigatorStatus = InstigatorStatus.RUNNING,
) -> InstigatorState:
    """The state for `DagsterInstance.add_instigator_state`."""
    location = RegisteredCodeLocationOrigin("metrics_platform")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), schedule)
    data = ScheduleInstigatorData(cron, start_timestamp=at.timestamp())
    return InstigatorState(origin, InstigatorType.SCHEDULE, status, data)
