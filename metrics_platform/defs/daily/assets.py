"""The assets of the daily load: one per table, each computing its partitions day by day, and `metric_daily`.

One factory makes those of the tables, because they differ only in their SQL and their upstream tables. A run has one
partition or a range. A range is computed in the order of its days, and each day is swapped in as soon as its checks
pass.
"""

import datetime
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg

from metrics_platform.catalog import Catalog
from metrics_platform.defs.daily.metadata import (
    blocking_checks,
    check_results,
    day_metadata,
    materialise_or_fail,
    usual_day_results,
    usual_day_specs,
)
from metrics_platform.defs.day_assets import day_asset
from metrics_platform.defs.lineage import table_metadata
from metrics_platform.defs.resources import MetricsConfig
from metrics_platform.settings import Settings
from metrics_platform.warehouse import tables
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.daily import DayResult, compute_days
from metrics_platform.warehouse.tables import METRIC_DAILY, DailyTable
from metrics_platform.warehouse.value_sql import VALUES_QUERY

GROUP = "daily"
PREVIEW_ROWS = 10
_LOG_EVERY_SECONDS = 5.0
# Days that the report compares with, and the weeks that define a usual day.
_HISTORY_DAYS = 35
# dagster.yaml allows one run of this pool at a time: two would write the same day.
_COMMON: dict[str, Any] = {"pool": GROUP, "group_name": GROUP, "kinds": {"clickhouse", "sql"}}


def daily_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """One asset per table of the daily load."""
    upstream = _upstream(settings)
    return [_daily_asset(table, upstream[table.name], settings) for table in tables.daily_tables(settings.dimensions)]


def _upstream(settings: Settings) -> dict[str, list[Any]]:
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


def _daily_asset(table: DailyTable, deps: list[Any], settings: Settings) -> dg.AssetsDefinition:
    def compute(context: dg.AssetExecutionContext, warehouse: Warehouse, _config: None) -> Iterator[Any]:
        results = _compute_days(context, warehouse, table, settings)
        usual = usual_day_results(warehouse, table, results, settings)
        checks = check_results(table, [(result.day.key, result.comparisons) for result in results])
        failed = [(result.day.key, result.violations) for result in results if not result.published]
        remedy = (
            f"materialise the assets upstream of {table.name} for that day again, then this one. If it fails again, "
            "the check's metadata shows what differs."
        )
        yield from materialise_or_fail(table, [*checks, *usual], failed, remedy)

    return day_asset(
        table.name,
        settings,
        compute,
        deps=deps,
        description=table.description,
        metadata=table_metadata(table, _names(deps), settings, f"queries/{table.file}.sql"),
        check_specs=[*blocking_checks(table), *usual_day_specs(table)],
        **_COMMON,
    )


def metric_daily_asset(settings: Settings, catalog: Catalog) -> dg.AssetsDefinition:
    """The daily value of every metric of the catalogue.

    Yesterday's run also computes days of the last five weeks that a metric lacks.
    """

    def compute(context: dg.AssetExecutionContext, warehouse: Warehouse, config: MetricsConfig) -> Iterator[Any]:
        from metrics_platform.defs.daily.values_run import compute_metric_daily  # noqa: PLC0415

        yield from compute_metric_daily(context, warehouse, config.metrics, settings, _HISTORY_DAYS)

    return day_asset(
        METRIC_DAILY.name,
        settings,
        compute,
        config=MetricsConfig,
        deps=list(catalog.sources),
        description="The daily value of every metric of the catalogue, for the whole product and by slice. Distinct "
        "counts are distinct over the day.\n\nThe nightly run also fills in the last five weeks of a new or changed "
        "metric. To compute older days of one metric, materialise them with `metrics` in the run's config: the rows of "
        "all other metrics stay as they are.",
        metadata=table_metadata(METRIC_DAILY, list(catalog.sources), settings, VALUES_QUERY),
        check_specs=blocking_checks(METRIC_DAILY),
        **_COMMON,
    )


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
