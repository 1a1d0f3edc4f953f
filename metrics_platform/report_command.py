"""`metrics-platform report`: the report of a day as a text and pictures, without Dagster running."""

from __future__ import annotations

import datetime
from pathlib import Path

from metrics_platform.notifications.composer import Composer
from metrics_platform.notifications.email import text_body
from metrics_platform.notifications.kinds import DailyReport
from metrics_platform.report.reading import read_reports
from metrics_platform.settings import Settings
from metrics_platform.time_windows import day_of
from metrics_platform.warehouse.client import Warehouse


def build_report(date: datetime.date, settings: Settings) -> DailyReport:
    """The report of `date` from ClickHouse. How the day was computed is Dagster's knowledge, and left out."""
    now, day = datetime.datetime.now(datetime.UTC), day_of(date, settings.zone)
    (report,) = read_reports(Warehouse.from_settings(settings), [day], settings, now)
    return report


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
