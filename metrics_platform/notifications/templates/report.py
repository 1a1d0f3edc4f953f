"""The daily report: its table per part, what is open, what the data stand on, and a picture per part."""

from __future__ import annotations

import datetime
import re
from functools import partial

from metrics_platform.charts.model import Chart, Labels, Panel
from metrics_platform.notifications.kinds import DailyReport, ReportPart, ReportRow, ReportSeries
from metrics_platform.notifications.message import Block, Message, Paragraph, Table, bold, line, text_of
from metrics_platform.notifications.message import Line as TextLine
from metrics_platform.notifications.templates.anomalies import explained, subject_of
from metrics_platform.notifications.templates.writer import Writer, bolded

_PROBLEM_PHRASES = {
    "missing": "report-missing",
    "partial": "report-partial",
    "incomplete": "report-incomplete",
    "failed_checks": "report-failed-checks",
}
_INCIDENTS_SHOWN = 5
_OWN_PARTS = ("feed", "application", "messenger")


def daily_report(report: DailyReport, writer: Writer) -> Message:
    """The report's message; what is wrong with its data is said in the first line."""
    say, date = writer.say, writer.formats.day(report.date)
    emoji = "📊" if report.problem is None else "⚠️"
    title = "report-correction" if report.correction else "report-title"
    headline = line(f"{emoji} ", bold(say(_PROBLEM_PHRASES.get(report.problem or "", title), date=date)))
    blocks: list[Block] = []
    if report.correction:
        blocks.append(Paragraph((line(say("report-correction-why")),)))
    if report.problem:
        facts = {"date": report.date.isoformat(), "tables": ", ".join(report.not_computed)}
        remedy = say(f"{_PROBLEM_PHRASES[report.problem]}-next", **facts)
        blocks.append(Paragraph((line(remedy),)))
    if counts := _counts(report, writer):
        blocks.append(Paragraph((line(counts),)))
    named = len(report.parts) > 1
    for part in report.parts:
        if named:
            blocks.append(Paragraph((line(bold(_title(part, writer))),)))
        if part.rows:
            blocks.append(_table(part.rows, writer))
    blocks.append(Paragraph((*_open(report, writer), *_basis(report, writer))))
    return writer.message(
        report,
        headline,
        blocks,
        silent=True,
        charts=tuple(partial(_chart, part, report.date, writer) for part in report.parts if part.series),
    )


def _counts(report: DailyReport, writer: Writer) -> str:
    counted = [("🔴", "critical", report.critical), ("🟠", "warning", report.warning), ("✅", "normal", report.normal)]
    return " · ".join(f"{mark} {writer.say(f'report-{name}', count=count)}" for mark, name, count in counted if count)


def _table(rows: tuple[ReportRow, ...], writer: Writer) -> Table:
    header = tuple(writer.say(f"report-column-{name}") for name in ("metric", "value", "day", "week"))
    cells: list[tuple[str, ...]] = []
    for row in rows:
        if row.begins_group:
            cells.append(("",) * len(header))
        cells.append(
            (
                writer.metric_short(row.metric),
                writer.cell(row.value, row.unit),
                writer.change(row.value, row.day_before, row.unit),
                writer.change(row.value, row.week_before, row.unit),
            )
        )
    return Table(header=header, rows=tuple(cells))


def _open(report: DailyReport, writer: Writer) -> list[TextLine]:
    marks = {"critical": "🔴", "warning": "🟠"}
    shown = report.incidents[:_INCIDENTS_SHOWN]
    lines = []
    for anomaly in shown:
        whole_day = (anomaly.slot_start, anomaly.slot_end) == (report.period_start, report.period_end)
        times = "" if whole_day else writer.times(anomaly.slot_start, anomaly.slot_end)
        subject = bolded(subject_of(anomaly, writer))
        lines.append(line(f"{marks[anomaly.severity]} ", *subject, *explained(anomaly, times, writer)))
    if rest := len(report.incidents) - len(shown):
        lines.append(line(writer.say("and-more", count=rest)))
    return lines


def _basis(report: DailyReport, writer: Writer) -> list[TextLine]:
    say = writer.say
    facts = []
    if report.fresh_at:
        facts.append(say("report-fresh", moment=writer.moment(report.fresh_at)))
    if report.checks_passed is not None and report.checks_total is not None:
        facts.append(say("report-checks", passed=report.checks_passed, total=report.checks_total))
    lines = []
    if facts:
        lines.append(line(f"{'✅' if report.problem is None else '⚠️'} ", " · ".join(facts)))
    period = say(
        "report-period",
        day=writer.formats.day_short(report.date),
        times=writer.times(report.period_start, report.period_end),
        zone=writer.zone.key,
    )
    return [*lines, line(period)]


def _title(part: ReportPart, writer: Writer) -> str:
    """A part's title: a phrase of ours, or the section's name in the catalogue."""
    return writer.say(f"report-part-{part.name}") if part.name in _OWN_PARTS else part.name


def _file_name(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower()).strip("-")


def _chart(part: ReportPart, date: datetime.date, writer: Writer) -> Chart:
    say = writer.say
    return Chart(
        name=f"report-{_file_name(part.name)}-{date}",
        title=say("report-chart-title", part=_title(part, writer), date=writer.formats.day(date)),
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
        title=text_of(line(*writer.metric(series.metric))),
        finding=said,
        unit=series.unit,
        times=days,
        values=series.values,
        previous=series.values_before if any(each is not None for each in series.values_before) else (),
    )
