"""The pictures of messages: of anomalies, of the daily report, and of a test message.

Each is made when it is drawn: a chart that cannot be made must not cost the text.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from metrics_platform.charts.model import Chart, Drawable, HeatMap, Labels, Panel
from metrics_platform.notifications import kinds
from metrics_platform.notifications.kinds import Anomaly, DailyReport, Highlight, ReportSeries, ReportWeek
from metrics_platform.notifications.kinds import ResolvedAnomaly as Resolved
from metrics_platform.notifications.templates.writer import Writer

Charts = tuple[Callable[[], Drawable], ...]

# Panels of a message's picture: more of them would be too small on a phone.
_ANOMALY_PANELS, _REPORT_PANELS = 6, 12
_NAMED_IN_TITLE = 3
_NAME_LENGTH, _TITLE_LENGTH = 60, 140
_BUILTIN_PARTS = ("headline", "audience", "activity", "messenger", "growth", "retention")
# They say again what another panel says, or its complement.
_NOT_PICTURED = {
    "feed_only", "messenger_only", "senders", "received_per_receiver", "sent_received", "new_users_organic",
    "new_users_other",
}  # fmt: skip


def charts_of(event: kinds.Event, writer: Writer) -> Charts:
    """The pictures of a notification."""
    match event:
        case kinds.AnomalyOpened() | kinds.AnomalyUpdated() | kinds.AnomalyStillOpen():
            return _anomaly_charts(event.worst_first, writer)
        case kinds.AnomalyResolved():
            return _anomaly_charts(event.resolved, writer)
        case DailyReport():
            return _report_charts(event, writer)
        case kinds.TestMessage():
            return (partial(_wave, event, writer),)
    return ()


def _chart(writer: Writer, name: str, title: str, panels: Sequence[Panel], subtitle: str = "", **labels: str) -> Chart:
    return Chart(
        name=name,
        title=title,
        subtitle=subtitle,
        panels=tuple(panels),
        labels=Labels(**labels, no_data=writer.say("chart_no_data")),
        timezone=writer.zone.key,
        language=writer.language,
    )


# --- anomalies -------------------------------------------------------------------------------------------------------


def _anomaly_charts(subjects: Sequence[Anomaly | Resolved], writer: Writer) -> Charts:
    """One picture with a panel for each of the first few that have a history.

    One picture and not one for each, since a picture with a caption is one message, which can be edited as a whole.
    """
    shown = [subject for subject in subjects if subject.history is not None and subject.history.times]
    return (partial(_anomalies, shown[:_ANOMALY_PANELS], subjects, writer),) if shown else ()


def _anomalies(shown: Sequence[Anomaly | Resolved], subjects: Sequence[Anomaly | Resolved], writer: Writer) -> Chart:
    say, first = writer.say, subjects[0]
    last = max(subject.history.times[-1] for subject in shown if subject.history is not None)
    listed = writer.listed([_finding(subject, writer) for subject in subjects], _NAMED_IN_TITLE)
    if isinstance(first, Resolved):
        title = say("anomaly_chart_resolved", metrics=listed)
    else:
        time = writer.formats.time(writer.local(first.slot_start))
        title = say("anomaly_chart_title", findings=listed, time=time)
    return _chart(
        writer,
        _slug(shown[0], len(subjects)),
        title if len(title) <= _TITLE_LENGTH else f"{title[:_TITLE_LENGTH]}…",
        [_anomaly_panel(subject, writer) for subject in shown],
        say("anomaly_chart_subtitle", date=writer.formats.day(writer.local(last).date())),
        values=say("anomaly_chart_actual"),
        previous=say("anomaly_chart_day"),
        band=say("anomaly_chart_band"),
        marked=say("anomaly_chart_open") if isinstance(first, Resolved) else "",
    )


def _finding(subject: Anomaly | Resolved, writer: Writer) -> str:
    return writer.plain(writer.series(subject)) if isinstance(subject, Resolved) else writer.say("subject", a=subject)


def _anomaly_panel(subject: Anomaly | Resolved, writer: Writer) -> Panel:
    history = subject.history
    assert history is not None  # only those that have one are shown
    if isinstance(subject, Anomaly):
        marked = (subject.slot_start, subject.slot_start)
        note = writer.say("chart_no_data") if subject.value is None else writer.of(subject.value, subject)
    else:
        last = max((time for time in history.times if time < subject.resolved_at), default=subject.opened_at)
        marked, note = (subject.opened_at, last), ""
    return Panel(
        title=_finding(subject, writer),
        unit=subject.unit,
        times=history.times,
        values=history.values,
        previous=history.day_before,
        lower=history.lower if history.upper else (),
        upper=history.upper if history.lower else (),
        marked=marked,
        note=note,
    )


def _slug(subject: Anomaly | Resolved, count: int) -> str:
    """A file's name, also where the names are Cyrillic."""
    words = "-".join(filter(None, (subject.metric, subject.dimension, subject.dimension_value)))
    slug = re.sub("[^a-z0-9]+", "-", words.lower())[:_NAME_LENGTH].strip("-") or "chart"
    return slug if count == 1 else f"{slug}-and-{count - 1}"


# --- the report ------------------------------------------------------------------------------------------------------


def _report_charts(report: DailyReport, writer: Writer) -> Charts:
    """A picture of the headline metrics, one of all others, and on Mondays how weekly cohorts come back."""
    if not report.parts:
        return ()
    first, *others = report.parts
    left_out = _NOT_PICTURED | {series.metric for series in first.series}
    # The catalogue's sections come last in the text, and first here.
    own = sorted(others, key=lambda part: part.name in _BUILTIN_PARTS)
    rest = [series for part in own for series in part.series if series.metric not in left_out]
    names = [highlight.metric for highlight in report.highlights or ()]
    rest.sort(key=lambda series: names.index(series.metric) if series.metric in names else len(names))
    pictures: list[Callable[[], Drawable]] = []
    if first.series:
        pictures.append(partial(_report_chart, report, "headline", first.series, writer))
    if rest:
        pictures.append(partial(_report_chart, report, "others", rest[:_REPORT_PANELS], writer))
    if report.week and any(cohort.retention for cohort in report.week.cohorts):
        pictures.append(partial(_cohorts, report, report.week, writer))
    return tuple(pictures)


def _report_chart(report: DailyReport, name: str, series: Sequence[ReportSeries], writer: Writer) -> Chart:
    say = writer.say
    found = {highlight.metric: highlight for highlight in report.highlights or ()}
    names = {each.metric for each in series}
    here = [highlight for highlight in found.values() if highlight.metric in names]
    if here and not report.problem:
        title = say("report_chart_finding", highlights=here)
    else:
        title = say("report_chart_title", name=name, is_usual=report.highlights is not None and not found)
    return _chart(
        writer,
        f"report-{name}-{report.date}",
        title,
        [_report_panel(each, report.parts[0].days, found, writer) for each in series],
        say("report_chart_subtitle", date=writer.formats.day(report.date)),
        values=say("report_chart_actual"),
        previous=say("report_chart_before"),
        marked=say("report_chart_marked") if here else "",
    )


def _report_panel(
    series: ReportSeries, days: Sequence[datetime.date], found: Mapping[str, Highlight], writer: Writer
) -> Panel:
    """A metric's days, its value, and the change on the same weekday of the week before where there is one.

    Where the news is a record of weeks, it shows these weeks instead.
    """
    highlight = found.get(series.metric)
    if highlight and highlight.trend:
        return _trend_panel(highlight, series, days[-1], writer)
    return Panel(
        title=writer.plain(writer.series(series.metric)),
        finding=_value_and_change(series, writer),
        unit=series.unit,
        times=tuple(days),
        values=series.values,
        previous=series.values_before if any(each is not None for each in series.values_before) else (),
        marked=(days[-1], days[-1]) if highlight else None,
    )


def _trend_panel(highlight: Highlight, series: ReportSeries, date: datetime.date, writer: Writer) -> Panel:
    """The same weekdays of the last eight weeks, or all their days."""
    step = 7 if highlight.record_weekday else 1
    finding = _value_and_change(series, writer)
    if highlight.record_weekday:
        finding += f" · {writer.say('report_chart_weekdays', number=date.weekday())}"
    return Panel(
        title=writer.plain(writer.series(series.metric)),
        finding=finding,
        unit=series.unit,
        times=tuple(date - datetime.timedelta(days=back * step) for back in reversed(range(len(highlight.trend)))),
        values=highlight.trend,
        marked=(date, date),
    )


def _value_and_change(series: ReportSeries, writer: Writer) -> str:
    value, week_before = series.values[-1], series.values_before[-1]
    finding = writer.value(value, series.unit, series.metric)
    if value is None or week_before is None:
        return finding
    return f"{finding} · {writer.change(value, week_before, series.unit)}"


def _cohorts(report: DailyReport, week: ReportWeek, writer: Writer) -> HeatMap:
    """How the users of each week came back in the weeks after it."""
    columns = max(len(cohort.retention) for cohort in week.cohorts)
    shown = [cohort for cohort in week.cohorts if any(value is not None for value in cohort.retention)]
    names = [
        f"{writer.formats.day_short(cohort.first_day)} · {writer.formats.compact(cohort.users)}" for cohort in shown
    ]
    return HeatMap(
        name=f"report-cohorts-{report.date}",
        title=writer.say("report_cohorts_title"),
        subtitle=writer.say("report_cohorts_subtitle"),
        corner=writer.say("report_cohorts_corner"),
        rows=tuple(names),
        columns=tuple(writer.say("report_cohorts_week", number=number + 1) for number in range(columns)),
        values=tuple(cohort.retention for cohort in shown),
        language=writer.language,
    )


# --- a test message --------------------------------------------------------------------------------------------------


def _wave(event: kinds.TestMessage, writer: Writer) -> Chart:
    """A day with a wave in it: a chat may accept texts and refuse photos."""
    start = event.occurred_at.replace(minute=0, second=0, microsecond=0) - datetime.timedelta(hours=23)
    times = tuple(start + datetime.timedelta(hours=hour) for hour in range(24))
    values = tuple(round(100 + 60 * math.sin(hour / 24 * 2 * math.pi)) for hour in range(24))
    title = writer.say("test_chart")
    return _chart(writer, "test", title, [Panel(title=title, unit="count", times=times, values=values)])
