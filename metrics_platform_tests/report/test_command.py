"""`metrics-platform report` and the check of a usual day, on days in ClickHouse."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest

from metrics_platform.catalog import builtin_catalog
from metrics_platform.defs.daily.metadata import usual_day_results
from metrics_platform.report.reading import read_day_incidents
from metrics_platform.report_command import build_report, write_report
from metrics_platform.settings import Settings
from metrics_platform.time_windows import day_of
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.daily import DayResult
from metrics_platform.warehouse.partitions import Totals
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import APP_DAILY, INCIDENTS, USERS
from metrics_platform_tests.report.days import day, put_days
from metrics_platform_tests.report.products import Planted, product


@pytest.fixture
def fill(make_settings: Callable[..., Settings]) -> Callable[[Planted | None], tuple[Settings, datetime.date]]:
    """Fills `app_daily` with a product's days; the settings, and the last day."""

    def filled(planted: Planted | None) -> tuple[Settings, datetime.date]:
        settings = make_settings(data_dir=Path("unused"))
        rows = {date: day(1000, 100, 50) | row for date, row in product(1, 100, planted).items()}
        put_days(settings, rows)
        return settings, max(rows)

    return filled


def test_the_report_has_pictures(
    fill: Callable[[Planted | None], tuple[Settings, datetime.date]], tmp_path: Path
) -> None:
    settings, last = fill("ctr_drop")

    text, files = write_report(build_report(last, settings), settings, tmp_path / "out")

    assert "CTR" in text.splitlines()[0]
    assert "Stands out" in text
    assert [file.name for file in files] == [f"report-headline-{last}.png", f"report-others-{last}.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_incidents_of_the_next_morning_are_shown_only_while_they_are_open(
    make_settings: Callable[..., Settings],
) -> None:
    settings = make_settings()
    warehouse = Warehouse.from_settings(settings)
    create_tables(warehouse, [INCIDENTS])
    day = day_of(datetime.date(2026, 11, 28), settings.zone)
    hour = datetime.timedelta(hours=1)
    spans = {"views": (-1, 1), "likes": (10, 25), "ctr": (26, 27), "senders": (26, None)}
    rows = [
        (metric, metric, day.start + opened * hour, closed and day.start + closed * hour, "critical", "message", 1)
        for metric, (opened, closed) in spans.items()
    ]
    columns = ["incident", "metric", "opened_at", "closed_at", "severity", "message", "cleared"]
    cells = [(*row, "total", "total", row[3] or day.end + 3 * hour) for row in rows]
    columns += ["dimension", "dimension_value", "slot_start"]
    warehouse.run(lambda client: client.insert("incidents", cells, column_names=columns), operation="Test")

    found = read_day_incidents(warehouse, day, day.end + 11 * hour, builtin_catalog())

    assert {incident.metric for incident in found} == {"views", "likes", "senders"}


@pytest.mark.parametrize(("planted", "passed"), [(None, True), ("drop", False)])
def test_the_check_of_app_daily_warns_of_an_unusual_day(
    fill: Callable[[Planted | None], tuple[Settings, datetime.date]], planted: Planted | None, passed: bool
) -> None:
    settings, last = fill(planted)
    warehouse = Warehouse.from_settings(settings)
    done = DayResult(
        APP_DAILY, day_of(last, settings.zone), Totals(1, {}), (), published=True, read_rows=0, seconds=0, query=""
    )

    (result,) = usual_day_results(warehouse, APP_DAILY, [done], settings)

    assert result.passed == passed
    assert result.severity.value == "WARN"
    assert "usual" in str(result.description)
    assert usual_day_results(warehouse, USERS, [done], settings) == []
