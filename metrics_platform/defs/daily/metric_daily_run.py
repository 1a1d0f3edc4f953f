"""The run of the asset `metric_daily`."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from metrics_platform.catalog import Metric, load_catalog_or_builtin
from metrics_platform.defs.daily.metadata import check_results
from metrics_platform.defs.resources import chosen_metrics
from metrics_platform.settings import Settings
from metrics_platform.warehouse.catalog_check import CheckedCatalog, check_catalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.metric_values import ValuesResult
from metrics_platform.warehouse.renames import apply_renames
from metrics_platform.warehouse.slots import compute_metric_days, missing_days
from metrics_platform.warehouse.tables import METRIC_DAILY

_ONE_DAY = datetime.timedelta(days=1)


def compute_metric_daily(
    context: dg.AssetExecutionContext, warehouse: Warehouse, names: Sequence[str], settings: Settings, history_days: int
) -> Iterator[Any]:
    """Compute the run's days. If they end with yesterday, also compute earlier days that metrics lack."""
    checked = check_catalog(warehouse, load_catalog_or_builtin(settings))
    for text in apply_renames(warehouse, checked.catalog):
        context.log.info(text)
    dates = [datetime.date.fromisoformat(key) for key in context.partition_keys]
    results: list[ValuesResult] = []
    for stretch, metrics in _work(warehouse, dates, chosen_metrics(names, checked), checked, settings, history_days):
        for result in compute_metric_days(warehouse, stretch, checked, settings, metrics):
            results.append(result)
            context.log.info(
                f"metric_daily of {result.date}: {len(result.metrics)} metrics, {result.rows:,} rows, "
                f"{result.read_rows:,} read, {result.seconds:.2f} s"
            )
            if result.published:
                _show_day(context, warehouse, result)
    checks = check_results(METRIC_DAILY, {result.date.isoformat(): result.comparisons for result in results})
    bad = [result for result in results if not result.published]
    if not bad:
        yield dg.MaterializeResult(check_results=checks)
        return
    yield from checks
    facts = "; ".join(f"{c.check}: {c.quantity} is {c.actual:,}, expected {c.expected:,}" for c in bad[0].violations)
    raise dg.Failure(
        f"metric_daily of {bad[0].date} does not add up, so it was not published and readers still see the previous "
        f"version. {facts}. What to do: materialise it again.",
        allow_retries=False,
    )


def _work(  # noqa: PLR0917
    warehouse: Warehouse,
    dates: list[datetime.date],
    chosen: tuple[Metric, ...] | None,
    checked: CheckedCatalog,
    settings: Settings,
    history_days: int,
) -> Iterator[tuple[list[datetime.date], tuple[Metric, ...] | None]]:
    """Ranges of days with the metrics to compute, oldest first."""
    last = max(dates)
    if chosen is None and last == datetime.datetime.now(settings.zone).date() - _ONE_DAY:
        first = max(last - history_days * _ONE_DAY, settings.start_date)
        for date, lacking in missing_days(warehouse, first, min(dates) - _ONE_DAY, checked, settings.zone):
            yield [date], lacking
    yield dates, chosen


def _show_day(context: dg.AssetExecutionContext, warehouse: Warehouse, result: ValuesResult) -> None:
    rows = warehouse.query(
        "SELECT toString(metric) AS name, value FROM metric_daily FINAL "
        "WHERE event_date = {event_date:Date} AND dimension = 'total'",
        {"event_date": result.date},
        doing="Reading the day's totals",
    ).rows
    metadata: dict[str, Any] = {
        "dagster/row_count": result.rows,
        "dagster/table_name": f"{warehouse.database}.{METRIC_DAILY.name}",
        "rows read": result.read_rows,
        "duration (s)": round(result.seconds, 3),
        "query": dg.MetadataValue.md(f"```sql\n{result.sql}\n```"),
        **{row["name"]: row["value"] for row in rows if row["value"] is not None},
    }
    key = result.date.isoformat()
    if key in context.partition_keys:
        context.add_asset_metadata(metadata, partition_key=key)
    else:
        context.log_event(dg.AssetMaterialization(METRIC_DAILY.name, partition=key, metadata=metadata))
