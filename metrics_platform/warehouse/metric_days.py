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
from metrics_platform.warehouse.metric_values import ValuesResult, compute_values
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import METRIC_DAILY, SLICE_VALUES

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

    See `compute_values`.
    """
    days = (day_of(date, settings.zone) for date in sorted(dates))
    # The zone's clocks have skipped some dates.
    stretches = ((day.date, day.start, day.end) for day in days if day.hours)
    return compute_values(warehouse, METRIC_DAILY, stretches, checked, settings.zone, metrics)


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
