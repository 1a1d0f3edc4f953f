"""`metrics-platform report`: the report of a day as a text and pictures, without Dagster running."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

from metrics_platform.catalog import load_catalog_or_builtin
from metrics_platform.findings import Finding
from metrics_platform.notifications.composing import Composer
from metrics_platform.notifications.email_content import text_body
from metrics_platform.notifications.kinds import DailyReport
from metrics_platform.notifications.test_message import send_now
from metrics_platform.report.facts import LoadState, report_of
from metrics_platform.report.week import week_of
from metrics_platform.settings import Settings
from metrics_platform.time_windows import day_of
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.report_data import read_day_incidents, read_report_data, read_weekly_cohorts


def build_report(date: datetime.date, settings: Settings) -> DailyReport:
    """The report of `date` from ClickHouse. How the day was computed is Dagster's knowledge, and left out.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer.
        SchemaMismatchError: a table has other columns than this version reads.
    """
    warehouse, catalog, day = (
        Warehouse.from_settings(settings),
        load_catalog_or_builtin(settings),
        day_of(date, settings.zone),
    )
    now = datetime.datetime.now(datetime.UTC)
    data = read_report_data(warehouse, [date], settings, catalog)
    return report_of(
        day,
        data,
        LoadState(),
        occurred_at=now,
        week=week_of(date, data.rows, read_weekly_cohorts(warehouse, date)),
        incidents=read_day_incidents(warehouse, day, min(now, day.end + datetime.timedelta(days=1)), catalog),
    )


def write_report(report: DailyReport, settings: Settings, directory: Path) -> tuple[str, list[Path]]:
    """The text of the report, and the files of its pictures in `directory`."""
    composer = Composer.for_settings(settings)
    message = composer.message(report, report.occurred_at)
    directory.mkdir(parents=True, exist_ok=True)
    files = []
    for picture in composer.pictures(message):
        file = directory / f"{picture.name}.png"
        file.write_bytes(picture.png)
        files.append(file)
    return text_body(message), files


def send_report(report: DailyReport, settings: Settings) -> Iterator[Finding]:
    """Send the report now over every channel; yields where it arrived, or what is wrong."""
    return send_now(report, settings)
