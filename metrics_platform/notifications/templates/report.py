"""The pictures of the daily report: one per part."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from functools import partial

from metrics_platform.charts.model import Chart, Line, Panel
from metrics_platform.notifications.kinds import DailyReport, ReportPart
from metrics_platform.notifications.templates.writer import Writer


def report_charts(report: DailyReport, writer: Writer) -> tuple[Callable[[], Chart], ...]:
    """A picture for each part that has series."""
    return tuple(partial(_chart, part, report.date, writer) for part in report.parts if part.series)


def _file_name(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower()).strip("-")


def _chart(part: ReportPart, date: datetime.date, writer: Writer) -> Chart:
    say = writer.say
    title = say("report-chart-title", part=writer.part_title(part), date=writer.formats.day(date))
    return Chart(
        name=f"report-{_file_name(part.name)}-{date}",
        title=title,
        timezone=writer.zone.key,
        language=writer.language,
        panels=tuple(
            Panel(
                title=writer.series_text(series.metric),
                times=part.days,
                unit=series.unit,
                lines=(
                    Line(label=say("report-chart-actual"), values=series.values, style="actual"),
                    Line(label=say("report-chart-before"), values=series.values_before, style="previous"),
                ),
            )
            for series in part.series
        ),
    )
