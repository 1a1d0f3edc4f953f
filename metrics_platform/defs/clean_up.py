"""The job `clean_up` deletes runs that are no longer needed. Dagster itself keeps every run and its events for ever.

A run is kept for METRICS_KEEP_RUNS_DAYS, while it is in progress, while it is the latest that materialised a partition
(otherwise Dagster would show the partition as missing), and while it holds entries of a message.
"""

import datetime
import re
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from metrics_platform.defs.delivery.notify import ASSET
from metrics_platform.defs.resources import default_schedule_status
from metrics_platform.settings import Settings

JOB = "clean_up"
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_PAGE = 1000
# Earlier versions had a partition for each slot. No asset has these any more, and a day had 96 of them.
_SLOT_KEY = re.compile(r"\d{4}-\d\d-\d\d-\d\d:\d\d")
# Dagster deletes one run at a time, some twenty a second.
MAX_SECONDS = 3600.0


def clean_up_definitions(settings: Settings) -> dg.Definitions:

    @dg.op(description="Deletes finished runs that are older than METRICS_KEEP_RUNS_DAYS and that nothing needs.")
    def delete_old_runs(context: dg.OpExecutionContext) -> None:
        before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=settings.keep_runs_days)
        deleted, remaining = clean_up(context.instance, before)
        rest = f" {remaining:,} more follow in the next nights." if remaining else ""
        context.log.info(f"Deleted {deleted:,} runs from before {before:%Y-%m-%d}.{rest}")

    @dg.job(
        name=JOB,
        executor_def=dg.in_process_executor,
        # Behind everything else in the queue.
        tags={"dagster/priority": "-5", "dagster/max_runtime": "7200"},
        description="Deletes old runs with their events, unless partitions in the UI or messages need them.",
    )
    def job() -> None:
        delete_old_runs()

    schedule = dg.ScheduleDefinition(
        job=job,
        cron_schedule="40 4 * * *",
        execution_timezone=settings.timezone,
        default_status=default_schedule_status(settings),
    )
    return dg.Definitions(jobs=[job], schedules=[schedule])


def clean_up(
    instance: dg.DagsterInstance, before: datetime.datetime, max_seconds: float = MAX_SECONDS
) -> tuple[int, int]:
    """Delete the unneeded runs that were created before a moment. Returns how many were deleted, and how many remain.

    It stops after `max_seconds`. The first clean-up after months may take several nights.
    """
    old = instance.get_run_ids(dg.RunsFilter(statuses=_ENDED, created_before=before))
    unneeded = sorted(set(old) - set(_needed_run_ids(instance)))
    deadline = time.monotonic() + max_seconds
    deleted = 0
    for run_id in unneeded:
        if time.monotonic() >= deadline:
            break
        _delete(instance, run_id)
        deleted += 1
    return deleted, len(unneeded) - deleted


def _needed_run_ids(instance: dg.DagsterInstance) -> Iterator[str]:
    """The ids of runs with events that are still used, whatever their age."""
    for key in instance.get_asset_keys():
        for record in instance.fetch_materializations(key, limit=1).records:
            yield record.run_id
        latest = instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
        ids = sorted(storage_id for partition, storage_id in latest.items() if not _SLOT_KEY.fullmatch(partition))
        for start in range(0, len(ids), _PAGE):
            selection = dg.AssetRecordsFilter(key, storage_ids=ids[start : start + _PAGE])
            for record in instance.fetch_materializations(selection, limit=_PAGE).records:
                yield record.run_id
    cursor, has_more = None, True
    while has_more:
        page = instance.fetch_observations(dg.AssetKey(ASSET), limit=_PAGE, cursor=cursor)
        cursor, has_more = page.cursor, page.has_more
        for record in page.records:
            yield record.run_id


def _delete(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete a run, its events and its files. With SQLite, each run has its own file of events."""
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    instance.delete_run(run_id)
    path_for_shard = getattr(instance.event_log_storage, "path_for_shard", None)
    if path_for_shard is not None:
        Path(path_for_shard(run_id)).unlink(missing_ok=True)
