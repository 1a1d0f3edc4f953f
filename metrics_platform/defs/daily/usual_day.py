"""The check of `app_daily` that says whether a day was usual: the answer that also leads the morning report."""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions it is given.

import dagster as dg

from metrics_platform.settings import Settings
from metrics_platform.warehouse import tables
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.daily import DayResult
from metrics_platform.warehouse.tables import DailyTable

CHECK = "day_is_usual"


def usual_day_specs(table: DailyTable) -> list[dg.AssetCheckSpec]:
    """The check's spec, for `app_daily` only."""
    if table.name != tables.APP_DAILY.name:
        return []
    return [
        dg.AssetCheckSpec(
            CHECK,
            asset=table.name,
            description="No metric is outside the range that is usual for such a day. It only warns: an unusual "
            "day is not an error.",
        )
    ]


def usual_day_results(
    warehouse: Warehouse, table: DailyTable, results: list[DayResult], settings: Settings
) -> list[dg.AssetCheckResult]:
    """The check of the latest day that was published; none where no day was."""
    published = [result.day.date for result in results if result.published]
    if table.name != tables.APP_DAILY.name or not published:
        return []
    from metrics_platform.report.highlights import LOOKBACK, highlights  # noqa: PLC0415  (on use only)
    from metrics_platform.report.reading import read_app_days  # noqa: PLC0415

    day = max(published)
    found = highlights(day, read_app_days(warehouse, day - LOOKBACK, day), holidays=settings.holidays)
    if found is None:
        text = f"Too little history to know what is usual for {day}."
    elif not found:
        text = f"{day} was a usual day."
    else:
        text = f"{day}: " + ", ".join(
            f"{one.metric} {_number(one.value)} (usual {_number(one.lower)} to {_number(one.upper)})" for one in found
        )
    return [
        dg.AssetCheckResult(
            check_name=CHECK,
            passed=not found,
            severity=dg.AssetCheckSeverity.WARN,
            description=text,
            metadata={one.metric: f"{_number(one.value)}, expected {_number(one.expected)}" for one in found or ()},
        )
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
