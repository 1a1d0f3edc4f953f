"""Compute metric values in a run: of days for `metric_daily`, of slots for `slot_metrics`."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import dagster as dg

from metrics_platform.catalog import Metric, load_catalog_or_builtin
from metrics_platform.defs.daily.metadata import check_results, materialise_or_fail
from metrics_platform.defs.resources import select_metrics
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, SlotRange
from metrics_platform.warehouse.catalog_check import CheckedCatalog, check_catalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.metric_values import ValuesResult
from metrics_platform.warehouse.renames import apply_renames
from metrics_platform.warehouse.slots import compute_metric_days, missing_days
from metrics_platform.warehouse.tables import METRIC_DAILY, SLOT_METRICS, DailyTable

_ONE_DAY = datetime.timedelta(days=1)


def compute_metric_daily(
    context: dg.AssetExecutionContext, warehouse: Warehouse, names: Sequence[str], settings: Settings, history_days: int
) -> Iterator[Any]:
    """Compute the run's days. If they end with yesterday, also compute earlier days that metrics lack."""
    checked = check_catalog(warehouse, load_catalog_or_builtin(settings))

    def results() -> Iterator[ValuesResult]:
        selected = select_metrics(names, checked)
        dates = [datetime.date.fromisoformat(key) for key in context.partition_keys]
        batches: list[tuple[list[datetime.date], tuple[Metric, ...] | None]] = [(dates, selected)]
        last = max(dates)
        if selected is None and last == datetime.datetime.now(settings.zone).date() - _ONE_DAY:
            first = max(last - history_days * _ONE_DAY, settings.start_date)
            missing = missing_days(warehouse, first, min(dates) - _ONE_DAY, checked, settings.zone)
            batches = [*(([date], missing_metrics) for date, missing_metrics in missing), *batches]
        for days, metrics in batches:
            yield from compute_metric_days(warehouse, days, checked, settings, metrics)

    yield from materialise_values(context, warehouse, METRIC_DAILY, checked, results())


def materialise_values(  # noqa: PLR0917
    context: dg.AssetExecutionContext,
    warehouse: Warehouse,
    table: DailyTable,
    checked: CheckedCatalog,
    computed: Iterable[ValuesResult],
    extra_checks: Callable[[], list[dg.AssetCheckResult]] = list,
) -> Iterator[Any]:
    """Log the results and attach their metadata. Yield the checks and the materialisation, or fail the run.

    `extra_checks` is called at the end for further checks. A day that does not add up is not published.
    """
    for text in apply_renames(warehouse, checked.catalog):
        context.log.info(text)
    results: list[tuple[str, ValuesResult]] = []
    for result in computed:
        period = str(SlotRange(result.start, result.end)) if table == SLOT_METRICS else result.date.isoformat()
        results.append((period, result))
        context.log.info(
            f"{table.name} of {period}: {len(result.metrics)} metrics, {result.rows:,} rows, {result.read_rows:,} "
            f"read, {result.seconds:.2f} s"
        )
        if result.published:
            _attach_metadata(context, warehouse, table, period, result)
    checks = check_results(table, [(period, result.comparisons) for period, result in results])
    failed = [(period, result.violations) for period, result in results if not result.published]
    yield from materialise_or_fail(table, [*checks, *extra_checks()], failed, "materialise the day again.")


def _attach_metadata(
    context: dg.AssetExecutionContext, warehouse: Warehouse, table: DailyTable, period: str, result: ValuesResult
) -> None:
    """Attach metadata to a day's partition, with the totals of its last period, which Dagster plots by name.

    A day outside the run's partitions gets a materialisation of its own.
    """
    last = result.end - SLOT
    summary: dict[str, Any] = {"dagster/row_count": result.rows}
    condition = "event_date = {event_date:Date} AND dimension = 'total'"
    if table == SLOT_METRICS:
        summary = {"computed": period, "rows written": result.rows, "last slot": f"{last:%Y-%m-%d %H:%M} UTC"}
        condition += " AND slot_start = {slot:DateTime('UTC')}"
    rows = warehouse.query(
        f"SELECT toString(metric) AS name, value FROM {table.name} FINAL WHERE {condition}",  # noqa: S608
        {"event_date": result.date, "slot": last},
        operation="Reading the totals",
    ).rows
    metadata: dict[str, Any] = {
        **summary,
        "dagster/table_name": f"{warehouse.database}.{table.name}",
        "rows read": result.read_rows,
        "duration (s)": round(result.seconds, 3),
        "query": dg.MetadataValue.md(f"```sql\n{result.sql}\n```"),
        **{row["name"]: row["value"] for row in rows if row["value"] is not None},
    }
    key = result.date.isoformat()
    if key in context.partition_keys:
        context.add_asset_metadata(metadata, partition_key=key)
    else:
        context.log_event(dg.AssetMaterialization(table.name, partition=key, metadata=metadata))
