"""The metrics of the day: which days are missing, and computing days of `metric_daily`. No Dagster."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from zoneinfo import ZoneInfo

from metrics_platform.catalog import Metric
from metrics_platform.settings import Settings
from metrics_platform.time_windows import day_of
from metrics_platform.warehouse.catalog_check import CheckedCatalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.metric_values import ValuesResult, compute
from metrics_platform.warehouse.partitions import drop_leftovers
from metrics_platform.warehouse.schema import create_tables, tables_are_there
from metrics_platform.warehouse.tables import METRIC_DAILY, SLICE_VALUES
from metrics_platform.warehouse.value_sql import Scope

_PRESENT = """
SELECT event_date, metric, definition
FROM metric_daily FINAL
WHERE event_date >= {first:Date} AND event_date <= {last:Date} AND dimension = 'total'
"""


def compute_metric_days(
    warehouse: Warehouse,
    dates: Iterable[datetime.date],
    checked: CheckedCatalog,
    settings: Settings,
    metrics: Sequence[Metric] | None = None,
) -> Iterator[ValuesResult]:
    """Compute days of all metrics, or of `metrics`; yields each day as it is published. Ends where checks do not hold.

    Running it again gives the same rows, and leaves all other rows as they are.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer; nothing is half-written.
        SchemaMismatchError: the table is there with other columns.
    """
    create_tables(warehouse, [SLICE_VALUES, METRIC_DAILY])
    drop_leftovers(warehouse, METRIC_DAILY)
    chosen = tuple(checked.metrics.values()) if metrics is None else tuple(metrics)
    needed = {metric.source for metric in chosen if metric.sql}
    rows = {name: found for name, found in checked.rows.items() if name in needed}
    for date in sorted(dates):
        day = day_of(date, settings.zone)
        if day.start >= day.end:
            continue  # the zone's clocks skipped it
        result = compute(
            warehouse,
            Scope(checked.catalog, rows, chosen, checked.by_row, METRIC_DAILY, date, day.start, day.end, settings.zone),
        )
        yield result
        if not result.published:
            return


def missing_days(
    warehouse: Warehouse, first: datetime.date, last: datetime.date, checked: CheckedCatalog, zone: ZoneInfo
) -> list[tuple[datetime.date, tuple[Metric, ...]]]:
    """The days from `first` to `last` that some metric lacks, or has by another definition, with these metrics.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer.
        SchemaMismatchError: the table is there with other columns.
    """
    create_tables(warehouse, [SLICE_VALUES, METRIC_DAILY])
    rows = warehouse.query(_PRESENT, {"first": first, "last": last}, doing="Looking for days that are missing").rows
    present = {(row["event_date"], row["metric"], row["definition"]) for row in rows}
    found = []
    for number in range((last - first).days + 1):
        date = first + datetime.timedelta(days=number)
        if not day_of(date, zone).hours:
            continue  # the zone's clocks skipped it
        lacking = tuple(
            metric for metric in checked.metrics.values() if (date, metric.name, metric.definition) not in present
        )
        if lacking:
            found.append((date, lacking))
    return found


def read_metric_days(
    warehouse: Warehouse, names: Sequence[str], first: datetime.date, last: datetime.date
) -> dict[datetime.date, dict[str, float | None]]:
    """The values of some metrics in the whole product, by day; a day that was not computed is left out.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer.
        SchemaMismatchError: the table has other columns than this version reads.
    """
    if not names or not tables_are_there(warehouse, [METRIC_DAILY]):
        return {}
    rows = warehouse.query(
        "SELECT event_date, toString(metric) AS name, value FROM metric_daily FINAL WHERE dimension = 'total' "
        "AND event_date BETWEEN {first:Date} AND {last:Date} AND has({names:Array(String)}, toString(metric))",
        {"first": first, "last": last, "names": list(names)},
        doing=f"Reading {METRIC_DAILY.name} from {first} to {last}",
    ).rows
    found: dict[datetime.date, dict[str, float | None]] = {}
    for row in rows:
        found.setdefault(row["event_date"], {})[row["name"]] = row["value"]
    return found
