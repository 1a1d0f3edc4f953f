"""The pictures of the daily report: one per part."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from functools import partial

from metrics_platform.charts.model import Chart, Labels, Panel
from metrics_platform.notifications.kinds import DailyReport, ReportPart, ReportSeries
from metrics_platform.notifications.templates.writer import Writer


def report_charts(report: DailyReport, writer: Writer) -> tuple[Callable[[], Chart], ...]:
    """A picture for each part that has series."""
    return tuple(partial(_chart, part, report.date, writer) for part in report.parts if part.series)


def _file_name(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower()).strip("-")


def _chart(part: ReportPart, date: datetime.date, writer: Writer) -> Chart:
    say = writer.say
    return Chart(
        name=f"report-{_file_name(part.name)}-{date}",
        title=say("report-chart-title", part=writer.part_title(part), date=writer.formats.day(date)),
        subtitle=say("report-chart-subtitle"),
        panels=tuple(_panel(series, part.days, writer) for series in part.series),
        labels=Labels(
            values=say("report-chart-actual"), previous=say("report-chart-before"), no_data=say("chart-no-data")
        ),
        timezone=writer.zone.key,
        language=writer.language,
    )


def _panel(series: ReportSeries, days: tuple[datetime.date, ...], writer: Writer) -> Panel:
    """A metric's days, its value, and the change on the same weekday of the week before where there is one."""
    value, week_before = series.values[-1], series.values_before[-1]
    said = writer.value(value, series.unit, series.metric)
    if value is not None and week_before is not None:
        said += f" · {writer.change(value, week_before, series.unit)}"
    return Panel(
        title=writer.series_text(series.metric),
        finding=said,
        unit=series.unit,
        times=days,
        values=series.values,
        previous=series.values_before if any(each is not None for each in series.values_before) else (),
    )
