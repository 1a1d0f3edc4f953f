"""The job `anomaly_check` and its schedule, every 15 minutes."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import dagster as dg

from metrics_platform.catalog import Catalog
from metrics_platform.defs.monitoring.assets import GROUP
from metrics_platform.defs.monitoring.run_slots import tags_of
from metrics_platform.defs.schedules import default_schedule_status
from metrics_platform.settings import Settings
from metrics_platform.time_windows import RANGE_END, RANGE_START, SLOT, SlotRange
from metrics_platform.warehouse.slots import first_slot, lag_of, last_complete_slot

JOB = "anomaly_check"
_ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def anomaly_check_job() -> Any:
    """The job that computes and evaluates slots and updates the incidents."""
    return dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.groups(GROUP),
        # Three steps of a second each: a process for every one would take longer than they do.
        executor_def=dg.in_process_executor,
        # Before reports and backfills in the queue, behind messages. A check that hangs would hold up all that follow.
        tags={"dagster/priority": "7", "dagster/max_runtime": "3600"},
        description="Computes the 15-minute metrics of the slots that are due, evaluates them, and reports incidents. "
        "For a day, it computes the day's complete slots again; recorded incidents never change.",
    )


def anomaly_check_schedule(
    job: Any,
    settings: Settings,
    catalog: Catalog,
    now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
) -> dg.ScheduleDefinition:
    """Every slot, as soon as its events are in; `now` is the schedule's clock."""
    lag = lag_of((source.lag for source in catalog.sources.values()), settings)
    minute = -(-int(lag.total_seconds()) // 60) % 15
    minutes = ",".join(str(minute + quarter) for quarter in (0, 15, 30, 45))

    @dg.schedule(
        name=f"{JOB}_schedule",
        cron_schedule=f"{minutes} * * * *",
        execution_timezone="UTC",
        job=job,
        default_status=default_schedule_status(settings),
        description=f"Every 15 minutes, {lag.total_seconds():g} s after the end of a slot: that slot, "
        f"{settings.recompute_slots} before it again for late events, and every slot that is missing.",
    )
    def every_slot(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        due = context.scheduled_execution_time.astimezone(datetime.UTC)
        if now() - due >= SLOT:
            return dg.SkipReason(f"The check of {due:%Y-%m-%d %H:%M} UTC is too late: a newer one is due.")
        if context.instance.get_run_ids(dg.RunsFilter(job_name=JOB, statuses=_ACTIVE), limit=1):
            return dg.SkipReason("The check before is still running; the next one catches up.")
        slots = due_slots(due, lag, settings)
        if slots is None:
            return dg.SkipReason(
                f"No slot to check: METRICS_START_DATE is {settings.start_date}, METRICS_END_DATE "
                f"{settings.end_date or 'not set'}."
            )
        days = [day.key for day, _ in slots.by_day(settings.zone)]
        return dg.RunRequest(run_key=slots.last.key, tags={RANGE_START: days[0], RANGE_END: days[-1], **tags_of(slots)})

    return every_slot


def due_slots(due: datetime.datetime, lag: datetime.timedelta, settings: Settings) -> SlotRange | None:
    """The slots of the check that is due: the latest complete one, and those before it for late events.

    What else is missing, after a downtime or on the first day, is found by the check itself. None: there is no slot
    yet, or there are none any more.
    """
    last = last_complete_slot(settings, lag, due)
    if last is None or due - last.end >= lag + 2 * SLOT:
        return None
    first = max(last.start - settings.recompute_slots * SLOT, first_slot(settings).start)
    return SlotRange(first, last.end)
