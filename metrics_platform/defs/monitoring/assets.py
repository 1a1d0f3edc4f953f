"""The 15-minute monitor: `slot_metrics` → `verdicts` → `incidents`, partitioned by day; the job and its schedule.

A check has its slots in tags. A run without them was started manually, or is a backfill, and computes whole days. The
code that computes is imported on use: most processes of the platform load this module and never evaluate a slot.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions it is given.

import datetime
from collections.abc import Iterator
from typing import Any

import dagster as dg

from metrics_platform.catalog import Catalog, load_catalog_or_builtin
from metrics_platform.defs.daily.metadata import blocking_checks
from metrics_platform.defs.day_assets import day_asset
from metrics_platform.defs.lineage import table_metadata
from metrics_platform.defs.resources import MetricsConfig, default_schedule_status
from metrics_platform.settings import Settings
from metrics_platform.time_windows import RANGE_END, RANGE_START, SLOT, Slot, SlotRange, day_of_key, slot_at, slots_of
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.slots import first_slot, lag_of, last_complete_slot
from metrics_platform.warehouse.tables import INCIDENTS, SLOT_METRICS, VERDICTS, DailyTable
from metrics_platform.warehouse.value_sql import VALUES_QUERY

GROUP = "monitoring"
JOB = "anomaly_check"
# Tags of a check: the first and the last slot that are due, as instants in UTC.
FIRST_SLOT, LAST_SLOT = "metrics/first_slot", "metrics/last_slot"
_FORMAT = "%Y-%m-%dT%H:%MZ"
ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]
CATALOG_CHECK = "catalog_is_valid"
_DESCRIPTIONS = {
    SLOT_METRICS.name: "The 15-minute value of every metric of the catalogue, for the whole product and by slice, on "
    "a full grid: a slot without events has zeros, so that an outage is seen.\n\nA check computes the slots that are "
    "due, and all that are missing. Materialising a day computes its complete slots again and leaves all others as "
    "they are.",
    VERDICTS.name: "Whether every metric was normal in every slot, as a whole and by slice: the expected value, the "
    "band, and why. Each metric is a check, which warns if the latest slot of the run is anomalous. An anomaly never "
    "fails a run.\n\nA slot is compared with its past only, so evaluating it again gives the same answer. The "
    "catalogue says how each metric is evaluated.",
    INCIDENTS.name: "Anomalies that belong together in time: one incident from the first anomalous slot until the "
    "metric has been back in its band for two. You are notified once when it opens, again after hours, and when it is "
    "over.\n\nEvery slot is processed once, in its order. Slots older than METRICS_ALERT_MAX_AGE_MINUTES send nothing.",
}


def monitoring_definitions(settings: Settings) -> dg.Definitions:
    job = anomaly_check_job()
    catalog = load_catalog_or_builtin(settings)
    values, verdicts = SLOT_METRICS.name, VERDICTS.name
    fits = "Every entry of the catalogue fits its source: tables, columns, types and SQL."
    in_band = "The latest slot is in its expected band, as a whole and in each slice."
    metrics = [
        dg.AssetCheckSpec(metric.name, asset=verdicts, description=f"{metric.description} {in_band}".strip())
        for metric in catalog.metrics.values()
        if metric.monitor.total or metric.monitor.slices
    ]
    catalog_check = dg.AssetCheckSpec(CATALOG_CHECK, asset=values, description=fits)
    assets = [
        _asset(
            SLOT_METRICS,
            list(catalog.sources),
            {"clickhouse", "sql"},
            [*blocking_checks(SLOT_METRICS), catalog_check],
            settings,
        ),
        _asset(VERDICTS, [values], {"python", "numpy"}, metrics, settings),
        _asset(INCIDENTS, [verdicts], {"python", "clickhouse"}, [], settings),
    ]
    return dg.Definitions(assets=assets, jobs=[job], schedules=[anomaly_check_schedule(job, settings, catalog)])


def _asset(
    table: DailyTable, deps: list[str], kinds: set[str], checks: list[dg.AssetCheckSpec], settings: Settings
) -> dg.AssetsDefinition:
    def compute(context: dg.AssetExecutionContext, warehouse: Warehouse, given: MetricsConfig | None) -> Iterator[Any]:
        from metrics_platform.defs.monitoring import computing  # noqa: PLC0415

        yield from computing.compute(table.name, context, warehouse, settings, given.metrics if given else ())

    return day_asset(
        table.name,
        settings,
        compute,
        config=MetricsConfig if table == SLOT_METRICS else None,
        with_today=True,
        deps=deps,
        # A backfill runs a day at a time, so that it never holds up a check for long.
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
        pool=GROUP,
        group_name=GROUP,
        kinds=kinds,
        description=_DESCRIPTIONS[table.name],
        metadata=table_metadata(table, deps, settings, VALUES_QUERY if table == SLOT_METRICS else None),
        check_specs=checks,
    )


def anomaly_check_job() -> Any:
    """The job that computes and evaluates slots and updates the incidents."""
    return dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.groups(GROUP),
        # Three steps of a second each: starting a process for each would take longer.
        executor_def=dg.in_process_executor,
        # Before reports and backfills in the queue, after messages. A hanging check would hold up all later ones.
        tags={"dagster/priority": "7", "dagster/max_runtime": "3600"},
        description="Computes the 15-minute metrics of the slots that are due, evaluates them, and reports incidents. "
        "For a day, it computes the day's complete slots again; recorded incidents never change.",
    )


def anomaly_check_schedule(job: Any, settings: Settings, catalog: Catalog) -> dg.ScheduleDefinition:
    """Every slot, as soon as its events have arrived."""
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
        if datetime.datetime.now(datetime.UTC) - due >= SLOT:
            return dg.SkipReason(f"The check of {due:%Y-%m-%d %H:%M} UTC is too late: a newer one is due.")
        if context.instance.get_run_ids(dg.RunsFilter(job_name=JOB, statuses=ACTIVE), limit=1):
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

    The check itself finds further missing slots, after a downtime or on the first day. None: the first slot is not
    complete yet, or the events have ended.
    """
    last = last_complete_slot(settings, lag, due)
    if last is None or due - last.end >= lag + 2 * SLOT:
        return None
    first = max(last.start - settings.recompute_slots * SLOT, first_slot(settings).start)
    return SlotRange(first, last.end)


def tags_of(slots: SlotRange) -> dict[str, str]:
    """The tags of a run that computes these slots."""
    return {FIRST_SLOT: f"{slots.start:{_FORMAT}}", LAST_SLOT: f"{slots.last.start:{_FORMAT}}"}


def is_check(context: dg.AssetExecutionContext) -> bool:
    """Whether a run is a check of due slots, not of whole days."""
    return FIRST_SLOT in context.run.tags


def slots_of_run(context: dg.AssetExecutionContext, settings: Settings, lag: datetime.timedelta) -> SlotRange:
    """The slots that the run computes. Fails the run if no slot of its days has ended."""
    tags = context.run.tags
    if FIRST_SLOT in tags:
        return SlotRange.of(_slot(tags[FIRST_SLOT]), _slot(tags[LAST_SLOT]))
    last = last_complete_slot(settings, lag, datetime.datetime.now(datetime.UTC))
    keys = sorted(context.partition_keys)
    first_day, last_day = (day_of_key(key, settings.zone) for key in (keys[0], keys[-1]))
    end = slots_of(last_day, last.end).end if last else first_day.start
    if end <= first_day.start:
        raise dg.Failure(
            f"No slot of {keys[0]} is complete yet. The 15-minute check computes each as soon as it is.",
            allow_retries=False,
        )
    return SlotRange(first_day.start, end)


def _slot(text: str) -> Slot:
    return slot_at(datetime.datetime.strptime(text, _FORMAT).replace(tzinfo=datetime.UTC))
