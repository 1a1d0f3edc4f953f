"""The assets of the daily load: one per table, each computing its partitions day by day.

One factory makes all of them, because they differ only in their SQL and their upstream tables. A run has one partition
or a range. A range is computed in the order of its days, and each day is swapped in as soon as its checks pass.
"""

import datetime
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from metrics_platform.defs.daily.metadata import (
    blocking_checks,
    check_results,
    day_metadata,
    materialise_or_fail,
    usual_day_results,
    usual_day_specs,
)
from metrics_platform.defs.lineage import table_metadata
from metrics_platform.defs.resources import ClickHouseResource
from metrics_platform.settings import Settings
from metrics_platform.warehouse import tables
from metrics_platform.warehouse.client import NoWarehouseError, Warehouse
from metrics_platform.warehouse.daily import DayResult, compute_days
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.schema import SchemaMismatchError
from metrics_platform.warehouse.source_rows import SourceError
from metrics_platform.warehouse.tables import DailyTable
from metrics_platform.warehouse.upstream import NotComputedError

GROUP = "daily"
PREVIEW_ROWS = 10

# A restart of ClickHouse takes seconds, a failover minutes: retry after 10, 20 and 40 s, each ± jitter. Errors that
# waiting does not fix are not retried (see `fail_without_retry`).
RETRY_POLICY = dg.RetryPolicy(max_retries=3, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
_LOG_EVERY_SECONDS = 5.0
_NOT_RETRIED = (NoWarehouseError, NotComputedError, SchemaMismatchError, SourceError)


def day_partitions(settings: Settings, *, with_today: bool = False) -> dg.DailyPartitionsDefinition:
    """One partition per day of the product's zone, from METRICS_START_DATE to METRICS_END_DATE, yesterday or today."""
    midnight = datetime.time.min
    after_end = settings.end_date and settings.end_date + datetime.timedelta(days=1)
    return dg.DailyPartitionsDefinition(
        start_date=datetime.datetime.combine(settings.start_date, midnight),
        end_date=datetime.datetime.combine(after_end, midnight) if after_end else None,
        timezone=settings.timezone,
        end_offset=1 if with_today and not after_end else 0,
    )


def daily_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """One asset per table of the daily load."""
    partitions = day_partitions(settings)
    upstream = _upstream(settings, partitions)
    return [
        _daily_asset(table, upstream[table.name], partitions, settings)
        for table in tables.daily_tables(settings.dimensions)
    ]


def _upstream(settings: Settings, partitions: dg.DailyPartitionsDefinition) -> dict[str, list[Any]]:
    """The upstream tables of each table; `users` also depends on its own previous day."""
    feed, messages, users, merged = (
        table.name for table in (tables.FEED_USER_DAILY, tables.MESSAGE_USER_DAILY, tables.USERS, tables.USER_DAILY)
    )
    slices = [tables.slice_table(dimension).name for dimension in settings.dimensions]
    day_before = dg.TimeWindowPartitionMapping(
        start_offset=-1, end_offset=-1, allow_nonexistent_upstream_partitions=True
    )
    return {
        feed: ["feed_actions"],
        messages: ["message_actions"],
        users: [feed, messages, dg.AssetDep(users, partition_mapping=day_before)],
        merged: [feed, messages, users],
        **{name: [merged] for name in slices},
        tables.DIMENSION_METRICS.name: slices,
        tables.APP_DAILY.name: [users, merged],
        tables.USER_COHORTS.name: [users],
    }


def _names(deps: list[Any]) -> list[str]:
    return [dep.asset_key.to_user_string() if isinstance(dep, dg.AssetDep) else dep for dep in deps]


def _daily_asset(
    table: DailyTable, deps: list[Any], partitions: dg.DailyPartitionsDefinition, settings: Settings
) -> dg.AssetsDefinition:
    @dg.asset(
        name=table.name,
        deps=deps,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=RETRY_POLICY,
        pool=GROUP,  # dagster.yaml allows one run of this pool at a time: two would write the same day
        group_name=GROUP,
        kinds={"clickhouse", "sql"},
        owners=[settings.owner],
        description=table.description,
        metadata=table_metadata(table, _names(deps), settings, f"queries/{table.file}.sql"),
        check_specs=[*blocking_checks(table), *usual_day_specs(table)],
    )
    def compute(context: dg.AssetExecutionContext, clickhouse: ClickHouseResource) -> Iterator[Any]:
        with fail_without_retry():
            warehouse = clickhouse.warehouse(context, settings)
            results = _compute_days(context, warehouse, table, settings)
            usual = usual_day_results(warehouse, table, results, settings)
        checks = check_results(table, [(result.day.key, result.comparisons) for result in results])
        failed = [(result.day.key, result.violations) for result in results if not result.published]
        remedy = (
            f"materialise the assets upstream of {table.name} for that day again, then this one. If it fails again, "
            "the check's metadata shows what differs."
        )
        yield from materialise_or_fail(table, [*checks, *usual], failed, remedy)

    return compute


@contextmanager
def fail_without_retry(*others: type[Exception]) -> Iterator[None]:
    """Fail the step without a retry for permanent errors and `others`, with the error's own text."""
    permanent: tuple[type[Exception], ...] = (*_NOT_RETRIED, *others, WarehouseError)
    try:
        yield
    except permanent as error:
        if isinstance(error, WarehouseError) and error.transient:
            raise
        raise dg.Failure(str(error), allow_retries=False) from None


def _compute_days(
    context: dg.AssetExecutionContext, warehouse: Warehouse, table: DailyTable, settings: Settings
) -> list[DayResult]:
    """Compute the run's days, log the progress and attach metadata to each partition."""
    dates = [datetime.date.fromisoformat(key) for key in context.partition_keys]
    results: list[DayResult] = []
    logged_at = 0.0
    for result in compute_days(warehouse, table, dates, settings, preview_rows=PREVIEW_ROWS, log=context.log.info):
        results.append(result)
        # A log line costs Dagster as much as a small day costs ClickHouse, so a range logs only every few seconds.
        if time.monotonic() - logged_at >= _LOG_EVERY_SECONDS or len(results) == len(dates):
            logged_at = time.monotonic()
            context.log.info(
                f"{table.name} of {result.day.key} ({len(results)} of {len(dates)}): {result.totals.rows:,} rows, "
                f"{result.read_rows:,} read, {result.seconds:.2f} s"
            )
        context.add_asset_metadata(day_metadata(result, warehouse.database, settings), partition_key=result.day.key)
    return results
