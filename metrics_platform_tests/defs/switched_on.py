"""A schedule's state as Dagster stores it: switched in the UI, or on by its default."""

from __future__ import annotations

import datetime

from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData


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
