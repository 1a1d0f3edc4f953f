"""Render facts as messages: one template per kind of notification and language, for all channels.

To add a kind, add its facts to `kinds.py` and a template with its name to each language's folder. To add a language,
add its folder, and its code to `formats.LANGUAGES`. The tests report what is missing.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from metrics_platform.catalog import load_catalog_or_builtin
from metrics_platform.channel_settings import SEVERITIES, Severity
from metrics_platform.charts.model import Chart, Drawable, HeatMap, Labels, Panel, draw
from metrics_platform.notifications import kinds
from metrics_platform.notifications.message import (
    Message,
    Paragraph,
    Picture,
    Preformatted,
    bold,
    code,
    line,
    markup,
)
from metrics_platform.notifications.writer import Writer
from metrics_platform.redaction import mask
from metrics_platform.settings import Settings

_EMOJI: Mapping[Severity, str] = {"critical": "🔴", "warning": "🟠", "failed": "❌", "resolved": "✅", "info": "📣"}
# Kinds that use the template of another kind.
_TEMPLATES = {"anomaly_updated": "anomaly_opened", "anomaly_still_open": "anomaly_opened"}
_MAX_FACTS = 1500
# Long facts, useless without a chart.
_LONG_FACTS = ("history", "series", "notifications")


def render(
    event: kinds.Event,
    writer: Writer,
    parts: Sequence[kinds.Event] = (),
    resolution: kinds.AnomalyResolved | None = None,
) -> Message:
    """The message about `event`.

    A digest has a line for each of its `parts`. With `resolution`, an opening (or its latest update) is rendered as
    resolved: for the edit of its message, or because it was not sent before. It keeps its severity, which decides its
    chat.
    """
    if isinstance(event, kinds.Digest):
        return _digest(event, [(part, render_or_fallback(part, writer)[0]) for part in parts], writer)
    identifiers: Sequence[str] = (event.key,)
    facts: dict[str, Any] = {}
    if isinstance(event, kinds.AnomalyOpened | kinds.AnomalyUpdated | kinds.AnomalyStillOpen):
        facts = {
            "anomalies": event.worst_first,
            "resolution": resolution,
            "duration": _duration(resolution) if resolution else None,
        }
        identifiers = [anomaly.incident for anomaly in event.anomalies]
    elif isinstance(event, kinds.AnomalyResolved):
        identifiers = [resolved.incident for resolved in event.resolved]
    elif isinstance(event, kinds.FailedRun):
        facts = {"retried": bool(event.attempt and (event.attempts or 0) > 1)}
        identifiers = [event.run_id[:8]] if event.run_id else identifiers
    text = writer.text(_TEMPLATES.get(event.kind, event.kind), event=event, **facts)
    message = writer.message(event, text, identifiers, charts_of(event, writer))
    return replace(message, silent=True) if resolution else message


def render_or_fallback(
    event: kinds.Event,
    writer: Writer,
    parts: Sequence[kinds.Event] = (),
    resolution: kinds.AnomalyResolved | None = None,
) -> tuple[Message, str]:
    """The message and an empty string; if the template fails, a message of plain facts, and the problem."""
    try:
        return render(event, writer, parts, resolution), ""
    except Exception as caught:  # noqa: BLE001  (whatever a template raises, the message is sent)
        problem = f"{type(caught).__name__}: {caught}"
    return _fallback(event, problem), problem


def _duration(resolution: kinds.AnomalyResolved) -> datetime.timedelta:
    return max(anomaly.resolved_at for anomaly in resolution.resolved) - min(
        anomaly.opened_at for anomaly in resolution.resolved
    )


def _fallback(event: kinds.Event, problem: str) -> Message:
    """A message of raw facts, without templates, formats or settings: the alert must arrive anyway."""
    facts = mask(json.dumps(_shorten(event.model_dump(mode="json")), ensure_ascii=False, indent=1))
    excerpt = facts if len(facts) <= _MAX_FACTS else f"{facts[:_MAX_FACTS]}…"
    return Message(
        key=event.key,
        kind=event.kind,
        severity=event.severity,
        headline=line(f"{_EMOJI[event.severity]} ", bold(event.severity.upper()), " · ", code(event.kind)),
        blocks=(Preformatted(excerpt), Paragraph((line("Its template failed: ", code(mask(problem)[:300])),))),
        footer=line("id ", code(event.key)),
        silent=event.severity not in ("critical", "failed"),
    )


def _shorten(data: object) -> object:
    if isinstance(data, dict):
        return {name: _shorten(value) for name, value in data.items() if name not in _LONG_FACTS and value is not None}
    return [_shorten(value) for value in data[:5]] if isinstance(data, list) else data


def _digest(event: kinds.Digest, rendered: list[tuple[kinds.Event, Message]], writer: Writer) -> Message:
    """A line for each part, the most severe first. It is as severe as that one. Parts without facts show their key."""
    rendered.sort(key=lambda part: (SEVERITIES.index(part[1].severity), part[0].occurred_at))
    counts = Counter(message.severity for _, message in rendered)
    text = writer.text(
        "digest",
        event=event,
        counts=[(severity, counts[severity]) for severity in SEVERITIES if counts[severity]],
        headlines=[(part.occurred_at, markup(message.headline)) for part, message in rendered],
    )
    severity = rendered[0][1].severity if rendered else event.severity
    return writer.message(event.model_copy(update={"severity": severity}), text, (event.key,))


@dataclass(frozen=True)
class Composer:
    """Renders notifications and draws their charts. Failures go to `warn`; the text is sent anyway."""

    writer_at: Callable[[datetime.datetime], Writer]
    draw: Callable[[Drawable], bytes] = draw
    warn: Callable[[str], None] = lambda _: None

    @classmethod
    def for_settings(cls, settings: Settings, warn: Callable[[str], None] = lambda _: None) -> Composer:
        catalog = load_catalog_or_builtin(settings)

        def writer_at(moment: datetime.datetime) -> Writer:
            return Writer(settings, moment, catalog)

        return cls(writer_at, warn=warn)

    def message(
        self,
        event: kinds.Event,
        moment: datetime.datetime,
        parts: Sequence[kinds.Event] = (),
        resolved: kinds.AnomalyResolved | None = None,
    ) -> Message:
        """The message for `event` at `moment`; `parts`: the notifications of a digest."""
        message, problem = render_or_fallback(event, self.writer_at(moment), parts, resolved)
        if problem:
            self.warn(f"The template of {event.key} failed: {problem}")
        return message

    def opening(
        self, opening: kinds.AnomalyOpened, changes: Sequence[kinds.Event], moment: datetime.datetime
    ) -> Message:
        """The message of an incident after `changes`: its latest update, marked as resolved if it is over."""
        updates = [event for event in changes if isinstance(event, kinds.AnomalyUpdated)]
        resolved = next((event for event in changes if isinstance(event, kinds.AnomalyResolved)), None)
        latest: kinds.AnomalyOpened | kinds.AnomalyUpdated = opening
        if updates:
            latest = updates[-1].model_copy(update={"occurred_at": opening.occurred_at})
        return replace(self.message(latest, moment, resolved=resolved), key=opening.key, kind=opening.kind)

    def pictures(self, message: Message) -> tuple[Picture, ...]:
        pictures = []
        for build in message.charts:
            try:
                chart = build()
                pictures.append(Picture(chart.name, chart.title, self.draw(chart)))
            except Exception as caught:  # noqa: BLE001  (whatever a chart may raise, the text is sent)
                self.warn(f"A chart of {message.key} could not be drawn: {type(caught).__name__}: {caught}")
        return tuple(pictures)


# --- pictures ---------------------------------------------------------------------------------------------------------
#
# Each is built when it is drawn: if a chart fails, the text is sent without it.

Charts = tuple[Callable[[], Drawable], ...]
Subject = kinds.Anomaly | kinds.ResolvedAnomaly

# The most panels in a picture: more would be too small on a phone.
_ANOMALY_PANELS, _REPORT_PANELS = 6, 12
_NAMED_IN_TITLE = 3
_NAME_LENGTH, _TITLE_LENGTH = 60, 140
_BUILTIN_PARTS = ("headline", "audience", "activity", "messenger", "growth", "retention")
# Another panel shows the same, or its complement.
_WITHOUT_PANEL = {
    "feed_only", "messenger_only", "senders", "received_per_receiver", "sent_received", "new_users_organic",
    "new_users_other",
}  # fmt: skip


def charts_of(event: kinds.Event, writer: Writer) -> Charts:
    match event:
        case kinds.AnomalyOpened() | kinds.AnomalyUpdated() | kinds.AnomalyStillOpen():
            return _anomaly_charts(event.worst_first, writer)
        case kinds.AnomalyResolved():
            return _anomaly_charts(event.resolved, writer)
        case kinds.DailyReport():
            return _report_charts(event, writer)
        case kinds.TestMessage():
            return (partial(_test_chart, event, writer),)
    return ()


def _chart(writer: Writer, name: str, title: str, panels: Sequence[Panel], subtitle: str = "", **labels: str) -> Chart:
    return Chart(
        name=name,
        title=title,
        subtitle=subtitle,
        panels=tuple(panels),
        labels=Labels(**labels, no_data=writer.phrase("chart_no_data")),
        timezone=writer.settings.zone.key,
        language=writer.language,
    )


# --- anomalies -------------------------------------------------------------------------------------------------------


def _anomaly_charts(subjects: Sequence[Subject], writer: Writer) -> Charts:
    """One picture with a panel for each of the first few that have a history.

    They share a picture because a picture with a caption is one message, which can be edited as a whole.
    """
    charted = [subject for subject in subjects if subject.history is not None and subject.history.times]
    return (partial(_anomalies, charted[:_ANOMALY_PANELS], subjects, writer),) if charted else ()


def _anomalies(charted: Sequence[Subject], subjects: Sequence[Subject], writer: Writer) -> Chart:
    phrase, first = writer.phrase, subjects[0]
    last = max(subject.history.times[-1] for subject in charted if subject.history is not None)
    listed = writer.listed([_panel_title(subject, writer) for subject in subjects], _NAMED_IN_TITLE)
    if isinstance(first, kinds.ResolvedAnomaly):
        title = phrase("resolution", metrics=listed, resolved=subjects)
    else:
        time = writer.formats.time(writer.local(first.slot_start))
        title = phrase("anomaly_chart_title", findings=listed, time=time)
    return _chart(
        writer,
        _slug(charted[0], len(subjects)),
        title if len(title) <= _TITLE_LENGTH else f"{title[:_TITLE_LENGTH]}…",
        [_anomaly_panel(subject, writer) for subject in charted],
        phrase("anomaly_chart_subtitle", date=writer.formats.day(writer.local(last).date())),
        values=phrase("anomaly_chart_actual"),
        previous=phrase("anomaly_chart_day"),
        band=phrase("anomaly_chart_band"),
        marked=phrase("anomaly_chart_open") if isinstance(first, kinds.ResolvedAnomaly) else "",
    )


def _panel_title(subject: Subject, writer: Writer) -> str:
    is_over = isinstance(subject, kinds.ResolvedAnomaly)
    return writer.plain(writer.series(subject)) if is_over else writer.phrase("subject", a=subject)


def _anomaly_panel(subject: Subject, writer: Writer) -> Panel:
    history = subject.history
    assert history is not None  # only those that have one are shown
    if isinstance(subject, kinds.Anomaly):
        marked = (subject.slot_start, subject.slot_start)
        note = writer.phrase("chart_no_data") if subject.value is None else writer.of(subject.value, subject)
    else:
        last = max((time for time in history.times if time < subject.resolved_at), default=subject.opened_at)
        marked, note = (subject.opened_at, last), ""
    return Panel(
        title=_panel_title(subject, writer),
        unit=subject.unit,
        times=history.times,
        values=history.values,
        previous=history.day_before,
        lower=history.lower if history.upper else (),
        upper=history.upper if history.lower else (),
        marked=marked,
        note=note,
    )


def _slug(subject: Subject, count: int) -> str:
    """A file name in ASCII, even if the names are Cyrillic."""
    words = "-".join(filter(None, (subject.metric, subject.dimension, subject.dimension_value)))
    slug = re.sub("[^a-z0-9]+", "-", words.lower())[:_NAME_LENGTH].strip("-") or "chart"
    return slug if count == 1 else f"{slug}-and-{count - 1}"


# --- the report ------------------------------------------------------------------------------------------------------


def _report_charts(report: kinds.DailyReport, writer: Writer) -> Charts:
    """A picture of the headline metrics, one of all others, and on Mondays the retention of weekly cohorts."""
    if not report.parts:
        return ()
    first, *others = report.parts
    excluded = _WITHOUT_PANEL | {series.metric for series in first.series}
    # The catalogue's sections come last in the text, and first here.
    sections_first = sorted(others, key=lambda part: part.name in _BUILTIN_PARTS)
    rest = [series for part in sections_first for series in part.series if series.metric not in excluded]
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


def _report_chart(report: kinds.DailyReport, name: str, series: Sequence[kinds.ReportSeries], writer: Writer) -> Chart:
    phrase = writer.phrase
    highlights = {highlight.metric: highlight for highlight in report.highlights or ()}
    names = {metric.metric for metric in series}
    highlighted = [highlight for highlight in highlights.values() if highlight.metric in names]
    if highlighted and not report.problem:
        title = phrase("report_chart_finding", highlights=highlighted)
    else:
        title = phrase("report_chart_title", name=name, is_usual=report.highlights is not None and not highlights)
    return _chart(
        writer,
        f"report-{name}-{report.date}",
        title,
        [_report_panel(metric, report.date, highlights.get(metric.metric), writer) for metric in series],
        phrase("report_chart_subtitle", date=writer.formats.day(report.date)),
        values=phrase("report_chart_actual"),
        previous=phrase("report_chart_before"),
        marked=phrase("report_chart_marked") if highlighted else "",
    )


def _report_panel(
    series: kinds.ReportSeries, last: datetime.date, highlight: kinds.Highlight | None, writer: Writer
) -> Panel:
    """A metric's days, its value, and its change from the same weekday a week earlier, if known.

    If the metric reached a record of several weeks, the panel shows these weeks (or the same weekday in each).
    """
    value, week_before = series.values[-1], series.values_before[-1]
    finding = writer.value(value, series.unit, series.metric)
    if value is not None and week_before is not None:
        finding += f" · {writer.change(value, week_before, series.unit)}"
    values, step = series.values, 1
    previous = series.values_before if any(before is not None for before in series.values_before) else ()
    if highlight and highlight.trend:
        values, previous = highlight.trend, ()
        if highlight.record_weekday:
            step = 7
            finding += f" · {writer.phrase('report_chart_weekdays', number=last.weekday())}"
    return Panel(
        title=writer.plain(writer.series(series.metric)),
        finding=finding,
        unit=series.unit,
        times=tuple(last - datetime.timedelta(back * step) for back in reversed(range(len(values)))),
        values=values,
        previous=previous,
        marked=(last, last) if highlight else None,
    )


def _cohorts(report: kinds.DailyReport, week: kinds.ReportWeek, writer: Writer) -> HeatMap:
    """The retention of each week's new users in the weeks after it."""
    columns = max(len(cohort.retention) for cohort in week.cohorts)
    cohorts = [cohort for cohort in week.cohorts if any(value is not None for value in cohort.retention)]
    names = [
        f"{writer.formats.day_short(cohort.first_day)} · {writer.formats.compact(cohort.users)}" for cohort in cohorts
    ]
    return HeatMap(
        name=f"report-cohorts-{report.date}",
        title=writer.phrase("report_cohorts_title"),
        subtitle=writer.phrase("report_cohorts_subtitle"),
        corner=writer.phrase("report_cohorts_corner"),
        rows=tuple(names),
        columns=tuple(writer.phrase("report_cohorts_week", number=number + 1) for number in range(columns)),
        values=tuple(cohort.retention for cohort in cohorts),
        language=writer.language,
    )


# --- a test message --------------------------------------------------------------------------------------------------


def _test_chart(event: kinds.TestMessage, writer: Writer) -> Chart:
    """A sample chart. It shows whether the chat accepts photos as well as texts."""
    start = event.occurred_at.replace(minute=0, second=0, microsecond=0) - datetime.timedelta(hours=23)
    times = tuple(start + datetime.timedelta(hours=hour) for hour in range(24))
    values = tuple(round(100 + 60 * math.sin(hour / 24 * 2 * math.pi)) for hour in range(24))
    title = writer.phrase("test_chart")
    return _chart(writer, "test", title, [Panel(title=title, unit="count", times=times, values=values)])
