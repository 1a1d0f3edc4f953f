"""The pictures of the daily report: the headline metrics, the others, and on Mondays how weekly cohorts come back."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from metrics_platform.charts.model import Chart, Drawable, HeatMap, Labels, Panel
from metrics_platform.notifications.kinds import DailyReport, Highlight, ReportPart, ReportSeries, ReportWeek
from metrics_platform.notifications.templates.writer import BUILTIN_PARTS, Writer

# More panels than this are not read on a phone.
_MOST_PANELS = 12
# They say again what another panel says, or its complement.
_NOT_PICTURED = {
    "feed_only", "messenger_only", "senders", "received_per_receiver", "sent_received", "new_users_organic",
    "new_users_other",
}  # fmt: skip


def report_charts(report: DailyReport, writer: Writer) -> tuple[Callable[[], Drawable], ...]:
    """A picture of the first part, and one of all other metrics."""
    if not report.parts:
        return ()
    first, *others = report.parts
    left_out = _NOT_PICTURED | {series.metric for series in first.series}
    # The catalogue's sections come last in the text, and first here.
    own = sorted(others, key=lambda part: part.name in BUILTIN_PARTS)
    rest = [series for part in own for series in part.series if series.metric not in left_out]
    pictures: list[Callable[[], Drawable]] = []
    if first.series:
        pictures.append(partial(_chart, report, first, first.series, writer))
    if rest:
        pictures.append(partial(_chart, report, None, _most_unusual_first(rest, report)[:_MOST_PANELS], writer))
    if report.week and any(cohort.retention for cohort in report.week.cohorts):
        pictures.append(partial(_cohorts, report, report.week, writer))
    return tuple(pictures)


def _cohorts(report: DailyReport, week: ReportWeek, writer: Writer) -> HeatMap:
    """How the users of each week came back in the weeks after it."""
    columns = max(len(cohort.retention) for cohort in week.cohorts)
    shown = [cohort for cohort in week.cohorts if any(value is not None for value in cohort.retention)]
    return HeatMap(
        name=f"report-cohorts-{report.date}",
        title=writer.say("report-cohorts-title"),
        subtitle=writer.say("report-cohorts-subtitle"),
        corner=writer.say("report-cohorts-corner"),
        rows=tuple(
            f"{writer.formats.day_short(cohort.first_day)} · {writer.formats.compact(cohort.users)}" for cohort in shown
        ),
        columns=tuple(writer.say("report-cohorts-week", number=number + 1) for number in range(columns)),
        values=tuple(cohort.retention for cohort in shown),
        language=writer.language,
    )


def _most_unusual_first(rest: Sequence[ReportSeries], report: DailyReport) -> list[ReportSeries]:
    names = [highlight.metric for highlight in report.highlights or ()]
    return sorted(rest, key=lambda series: names.index(series.metric) if series.metric in names else len(names))


def _chart(report: DailyReport, part: ReportPart | None, series: Sequence[ReportSeries], writer: Writer) -> Chart:
    """A picture; of no part, it is that of all other metrics."""
    say, date = writer.say, writer.formats.day(report.date)
    found = {highlight.metric: highlight for highlight in report.highlights or ()}
    names = {each.metric for each in series}
    here = [highlight for highlight in report.highlights or () if highlight.metric in names]
    if report.problem:
        title = say("report-part-headline") if part is not None else say("report-chart-others")
    elif here:
        title = say("report-chart-finding", highlights=here)
    elif part is not None and report.highlights is not None and not found:
        title = say("report-chart-usual")
    else:
        title = say("report-part-headline") if part is not None else say("report-chart-others")
    days = (part or report.parts[0]).days
    return Chart(
        name=f"report-{'headline' if part else 'others'}-{report.date}",
        title=title,
        subtitle=say("report-chart-subtitle", date=date),
        panels=tuple(_panel(each, days, found, writer) for each in series),
        labels=Labels(
            values=say("report-chart-actual"),
            previous=say("report-chart-before"),
            marked=say("report-chart-marked") if here else "",
            no_data=say("chart-no-data"),
        ),
        timezone=writer.zone.key,
        language=writer.language,
    )


def _panel(
    series: ReportSeries, days: Sequence[datetime.date], found: Mapping[str, Highlight], writer: Writer
) -> Panel:
    """A metric's days, its value, and the change on the same weekday of the week before where there is one.

    Where the news is a record of weeks, it shows these weeks instead.
    """
    highlight = found.get(series.metric)
    if highlight and highlight.trend:
        return _trend_panel(highlight, series, days[-1], writer)
    finding = _finding(series, writer)
    return Panel(
        title=writer.series_text(series.metric),
        finding=finding,
        unit=series.unit,
        times=tuple(days),
        values=series.values,
        previous=series.values_before if any(each is not None for each in series.values_before) else (),
        marked=(days[-1], days[-1]) if highlight else None,
    )


def _trend_panel(highlight: Highlight, series: ReportSeries, date: datetime.date, writer: Writer) -> Panel:
    """The same weekdays of the last eight weeks, or all their days."""
    step = 7 if highlight.record_weekday else 1
    finding = _finding(series, writer)
    if highlight.record_weekday:
        finding += f" · {writer.say('report-chart-weekdays', number=date.weekday())}"
    return Panel(
        title=writer.series_text(series.metric),
        finding=finding,
        unit=series.unit,
        times=tuple(date - datetime.timedelta(days=back * step) for back in reversed(range(len(highlight.trend)))),
        values=highlight.trend,
        marked=(date, date),
    )


def _finding(series: ReportSeries, writer: Writer) -> str:
    value, week_before = series.values[-1], series.values_before[-1]
    finding = writer.value(value, series.unit, series.metric)
    if value is None or week_before is None:
        return finding
    return f"{finding} · {writer.change(value, week_before, series.unit)}"
