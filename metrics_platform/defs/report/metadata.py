"""What a materialisation of `daily_report` shows in Dagster's UI: the message, its pictures, what was sent."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg

from metrics_platform.defs.delivery.metadata import message_metadata
from metrics_platform.notifications.kinds import DailyReport
from metrics_platform.notifications.templates import Composer
from metrics_platform.settings import Settings

_PROBLEMS = {
    "missing": "no data: the day was not computed",
    "partial": "partial: a table upstream of app_daily was not computed for the day",
    "incomplete": "the day was computed before it was over",
    "failed_checks": "the day's checks failed",
}


def report_metadata(
    report: DailyReport, settings: Settings, *, sent: str, warn: Callable[[str], None]
) -> dict[str, Any]:
    """The metadata of one report: the message and the pictures as people get them."""
    composer = Composer.for_settings(settings, warn)
    message = composer.message(report, datetime.datetime.now(datetime.UTC))
    return {
        **message_metadata(message, composer.pictures(message)),
        "data": _data(report),
        "sent": sent or "Not sent. To send it, set `send: true` in the run's config.",
    }


def check_result(name: str, reports: Sequence[DailyReport]) -> dg.AssetCheckResult:
    """Whether the data of all these days were whole; if not, a warning: the report itself says so."""
    bad = [f"{report.date}: {_data(report)}" for report in reports if report.problem]
    return dg.AssetCheckResult(
        check_name=name,
        passed=not bad,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(bad) or f"Whole for {', '.join(str(report.date) for report in reports[-1:])}.",
        metadata={"days": len(reports), "days with a problem": len(bad)},
    )


def _data(report: DailyReport) -> str:
    """What is wrong with the day's data, as people read it in Dagster."""
    text = _PROBLEMS[report.problem] if report.problem else "complete"
    return f"{text} ({', '.join(report.not_computed)})" if report.problem == "partial" else text
