"""The job `anomaly_check` and its schedule, every 15 minutes."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from typing import Any

import dagster as dg

from metrics_platform.calendar import RANGE_END, RANGE_START, SLOT, Slot, SlotRange, first_instant, slot_at, slot_of_key
from metrics_platform.defs.monitoring.assets import GROUP
from metrics_platform.settings import Settings
from metrics_platform.warehouse.tables import INCIDENTS

JOB = "anomaly_check"
# The history the seasonal detector looks at, which a first run computes and a downtime may leave a hole in.
HISTORY = datetime.timedelta(days=32)
# The latest materialisations that are looked through for the last slot: a run by hand may have gone back since.
_LOOKED_THROUGH = 200
_GOING_ON = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def anomaly_check_job() -> Any:
    """The job that computes, judges and takes in slots."""
    return dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.groups(GROUP),
        # Three steps of a second each: a process for every one would take longer than they do.
        executor_def=dg.in_process_executor,
        # Before reports and backfills in the queue, behind messages.
        # A month of slots takes minutes; a check that hangs would hold up all that follow.
        tags={"dagster/priority": "7", "dagster/max_runtime": "10800"},
        description="Computes the 15-minute metrics of the latest slots, judges them, and tells people of incidents. "
        "Running a slot again changes nothing and tells nothing.",
    )


def anomaly_check_schedule(
    job: Any,
    settings: Settings,
    now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
) -> dg.ScheduleDefinition:
    """Every slot, as soon as METRICS_SLOT_LAG_SECONDS have passed since its end; `now` is its clock."""
    minute = -(-settings.slot_lag_seconds // 60) % 15
    minutes = ",".join(str(minute + quarter) for quarter in (0, 15, 30, 45))

    @dg.schedule(
        name=f"{JOB}_schedule",
        cron_schedule=f"{minutes} * * * *",
        execution_timezone="UTC",
        job=job,
        description=f"Every 15 minutes, {settings.slot_lag_seconds} s after the end of a slot: that slot, "
        f"{settings.recompute_slots} before it again for late events, and those that a downtime left out.",
    )
    def every_slot(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        due = context.scheduled_execution_time.astimezone(datetime.UTC)
        if now() - due >= SLOT:
            return dg.SkipReason(f"The check of {due:%Y-%m-%d %H:%M} UTC is too late: a newer one is due.")
        if context.instance.get_run_ids(dg.RunsFilter(job_name=JOB, statuses=_GOING_ON), limit=1):
            return dg.SkipReason("The check before is still going on; the next one catches up.")
        done = context.instance.fetch_materializations(dg.AssetKey(INCIDENTS.name), limit=_LOOKED_THROUGH).records
        slots = slots_to_compute(due, (each.partition_key for each in done), settings)
        if slots is None:
            return dg.SkipReason(
                f"No slot to check: METRICS_START_DATE is {settings.start_date}, METRICS_END_DATE "
                f"{settings.end_date or 'not set'}."
            )
        first = slot_at(slots.start)
        return dg.RunRequest(run_key=slots.last.key, tags={RANGE_START: first.key, RANGE_END: slots.last.key})

    return every_slot


def slots_to_compute(due: datetime.datetime, done: Iterable[str | None], settings: Settings) -> SlotRange | None:
    """The slots of the check that is due: the latest complete one, and those before it for late events.

    Where slots were missed, from the one after the last that is done (partition keys), at most HISTORY back; a first
    run computes as much. None: there is no slot yet, or none any more.
    """
    last = Slot(slot_at(due - datetime.timedelta(seconds=settings.slot_lag_seconds)).start - SLOT)
    beginning = slot_at(first_instant(settings.start_date, settings.zone)).start
    after_end = settings.end_date and first_instant(settings.end_date + datetime.timedelta(days=1), settings.zone)
    if last.start < beginning or (after_end and last.start >= after_end):
        return None
    earlier = [slot_of_key(key).start for key in done if key is not None and key <= last.key]
    first = last.start - settings.recompute_slots * SLOT
    resumed = max(earlier) + SLOT if earlier else beginning
    first = max(min(first, resumed), last.start - HISTORY, beginning)
    return SlotRange(first, last.end)
