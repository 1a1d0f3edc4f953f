"""The job `clean_up`: Dagster keeps every run and its events for ever, so runs that nothing needs are deleted nightly.

A run stays while METRICS_KEEP_RUNS_DAYS says so, while it goes on, while it is the latest that materialised some
partition (Dagster would show the partition as missing), and while it holds entries of a message.
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
_DONE = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_PAGE = 1000
# Earlier versions had a partition for each slot. No asset has these any more, and a day had 96 of them.
_SLOT_KEY = re.compile(r"\d{4}-\d\d-\d\d-\d\d:\d\d")
# Dagster deletes one run at a time, some twenty a second.
MOST_SECONDS = 3600.0


def clean_up_definitions(settings: Settings) -> dg.Definitions:

    @dg.op(description="Deletes finished runs that are older than METRICS_KEEP_RUNS_DAYS and that nothing needs.")
    def delete_old_runs(context: dg.OpExecutionContext) -> None:
        before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=settings.keep_runs_days)
        deleted, left = clean_up(context.instance, before)
        rest = f" {left:,} more follow in the next nights." if left else ""
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
    instance: dg.DagsterInstance, before: datetime.datetime, most_seconds: float = MOST_SECONDS
) -> tuple[int, int]:
    """Delete the runs created before a moment that are not needed; how many were deleted, and how many are left.

    It stops after `most_seconds`: where it is switched on after months, it takes several nights.
    """
    old = instance.get_run_ids(dg.RunsFilter(statuses=_DONE, created_before=before))
    unneeded = sorted(set(old) - set(_needed(instance)))
    until = time.monotonic() + most_seconds
    deleted = 0
    for run_id in unneeded:
        if time.monotonic() >= until:
            break
        _delete(instance, run_id)
        deleted += 1
    return deleted, len(unneeded) - deleted


def _needed(instance: dg.DagsterInstance) -> Iterator[str]:
    """The runs whose events are still looked at, whenever they were."""
    for key in instance.get_asset_keys():
        for record in instance.fetch_materializations(key, limit=1).records:
            yield record.run_id
        latest = instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
        ids = sorted(storage_id for partition, storage_id in latest.items() if not _SLOT_KEY.fullmatch(partition))
        for start in range(0, len(ids), _PAGE):
            chosen = dg.AssetRecordsFilter(key, storage_ids=ids[start : start + _PAGE])
            for record in instance.fetch_materializations(chosen, limit=_PAGE).records:
                yield record.run_id
    cursor, has_more = None, True
    while has_more:
        page = instance.fetch_observations(dg.AssetKey(ASSET), limit=_PAGE, cursor=cursor)
        cursor, has_more = page.cursor, page.has_more
        for record in page.records:
            yield record.run_id


def _delete(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete a run, its events, and its files: with SQLite, events of a run are in a file of their own."""
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    instance.delete_run(run_id)
    path_for_shard = getattr(instance.event_log_storage, "path_for_shard", None)
    if path_for_shard is not None:
        Path(path_for_shard(run_id)).unlink(missing_ok=True)
