"""`metrics-platform report` and the check of a usual day, on days in ClickHouse."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest

from metrics_platform.defs.daily.usual_day import usual_day_results
from metrics_platform.notifications.channels import send_now
from metrics_platform.report_command import build_report, write_report
from metrics_platform.settings import Settings
from metrics_platform.time_windows import day_of
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.daily import DayResult
from metrics_platform.warehouse.partitions import Totals
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import APP_DAILY, USERS
from metrics_platform_tests.report.days import day
from metrics_platform_tests.report.products import Planted, product


@pytest.fixture
def fill(make_settings: Callable[..., Settings]) -> Callable[[Planted | None], tuple[Settings, datetime.date]]:
    """Fills `app_daily` with a product's days; the settings, and the last day."""

    def filled(planted: Planted | None) -> tuple[Settings, datetime.date]:
        settings = make_settings(data_dir=Path("unused"))
        warehouse = Warehouse.from_settings(settings)
        create_tables(warehouse, [APP_DAILY])
        rows = product(1, 100, planted)
        names = [column.name for column in APP_DAILY.columns]
        values = [
            [({**day(1000, 100, 50), **row, "event_date": date})[name] for name in names] for date, row in rows.items()
        ]
        warehouse.run(lambda client: client.insert("app_daily", values, column_names=names), doing="Test")
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


def test_a_report_that_is_sent_goes_to_the_outbox_without_a_channel(
    make_settings: Callable[..., Settings],
    fill: Callable[[Planted | None], tuple[Settings, datetime.date]],
    tmp_path: Path,
) -> None:
    settings, last = fill(None)
    settings = settings.model_copy(update={"data_dir": tmp_path})

    (finding,) = send_now(build_report(last, settings), settings)

    assert finding.status == "ok"
    assert list((tmp_path / "outbox").glob("*.html"))


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
