"""From facts to words: a template per kind of notification and language, for all channels.

To add a kind: its facts in `kinds.py` and a file named after it in each language's folder. To add a language: its
folder, and its code in `formats.LANGUAGES`; the tests report what is missing.
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
# Kinds that are variants of another one's text.
_SHARED = {"anomaly_updated": "anomaly_opened", "anomaly_still_open": "anomaly_opened"}
_FACTS_SHOWN = 1500
# Long, and useless without a chart.
_NOT_SHOWN = ("history", "series", "notifications")


def render(
    event: kinds.Event, writer: Writer, parts: Sequence[kinds.Event] = (), over: kinds.AnomalyResolved | None = None
) -> Message:
    """The message about `event`.

    A digest has a line for each of its `parts`. With `over`, an opening (or its latest update) is rendered as resolved:
    for the edit of its message, and where it was not sent before. It keeps its severity, which decides its chat.
    """
    if isinstance(event, kinds.Digest):
        return _digest(event, [(part, render_or_fallback(part, writer)[0]) for part in parts], writer)
    identifiers: Sequence[str] = (event.key,)
    facts: dict[str, Any] = {}
    if isinstance(event, kinds.AnomalyOpened | kinds.AnomalyUpdated | kinds.AnomalyStillOpen):
        facts = {"anomalies": event.worst_first, "over": over, "lasted": _lasted(over) if over else None}
        identifiers = [anomaly.incident for anomaly in event.anomalies]
    elif isinstance(event, kinds.AnomalyResolved):
        identifiers = [resolved.incident for resolved in event.resolved]
    elif isinstance(event, kinds.FailedRun):
        facts = {"retried": bool(event.attempt and (event.attempts or 0) > 1)}
        identifiers = [event.run_id[:8]] if event.run_id else identifiers
    text = writer.text(_SHARED.get(event.kind, event.kind), event=event, **facts)
    message = writer.message(event, text, identifiers, charts_of(event, writer))
    return replace(message, silent=True) if over else message


def render_or_fallback(
    event: kinds.Event, writer: Writer, parts: Sequence[kinds.Event] = (), over: kinds.AnomalyResolved | None = None
) -> tuple[Message, str]:
    """The message and no problem; if the template fails, the plain facts and the problem."""
    try:
        return render(event, writer, parts, over), ""
    except Exception as caught:  # noqa: BLE001  (whatever a template may raise, the message goes)
        problem = f"{type(caught).__name__}: {caught}"
    return _fallback(event, problem), problem


def _lasted(over: kinds.AnomalyResolved) -> datetime.timedelta:
    return max(one.resolved_at for one in over.resolved) - min(one.opened_at for one in over.resolved)


def _fallback(event: kinds.Event, problem: str) -> Message:
    """The facts as they are, without templates, formats or settings: the alert must arrive anyway."""
    facts = mask(json.dumps(_short(event.model_dump(mode="json")), ensure_ascii=False, indent=1))
    shown = facts if len(facts) <= _FACTS_SHOWN else f"{facts[:_FACTS_SHOWN]}…"
    return Message(
        key=event.key,
        kind=event.kind,
        severity=event.severity,
        headline=line(f"{_EMOJI[event.severity]} ", bold(event.severity.upper()), " · ", code(event.kind)),
        blocks=(Preformatted(shown), Paragraph((line("Its template failed: ", code(mask(problem)[:300])),))),
        footer=line("id ", code(event.key)),
        silent=event.severity not in ("critical", "failed"),
    )


def _short(data: object) -> object:
    if isinstance(data, dict):
        return {name: _short(value) for name, value in data.items() if name not in _NOT_SHOWN and value is not None}
    return [_short(value) for value in data[:5]] if isinstance(data, list) else data


def _digest(event: kinds.Digest, told: list[tuple[kinds.Event, Message]], writer: Writer) -> Message:
    """A line for each part, the loudest first; as loud as the loudest. Parts whose facts are gone are named by key."""
    told.sort(key=lambda part: (SEVERITIES.index(part[1].severity), part[0].occurred_at))
    counts = Counter(message.severity for _, message in told)
    text = writer.text(
        "digest",
        event=event,
        counts=[(severity, counts[severity]) for severity in SEVERITIES if counts[severity]],
        headlines=[(part.occurred_at, markup(message.headline)) for part, message in told],
    )
    severity = told[0][1].severity if told else event.severity
    return writer.message(event.model_copy(update={"severity": severity}), text, (event.key,))


@dataclass(frozen=True)
class Composer:
    """Renders notifications and draws their charts; what fails is reported to `warn` and never costs the text."""

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
        """The message of an incident after `changes`: its latest update, and that it is over."""
        updates = [event for event in changes if isinstance(event, kinds.AnomalyUpdated)]
        resolved = next((event for event in changes if isinstance(event, kinds.AnomalyResolved)), None)
        latest: kinds.AnomalyOpened | kinds.AnomalyUpdated = opening
        if updates:
            latest = updates[-1].model_copy(update={"occurred_at": opening.occurred_at})
        return replace(self.message(latest, moment, resolved=resolved), key=opening.key, kind=opening.kind)

    def pictures(self, message: Message) -> tuple[Picture, ...]:
        pictures = []
        for make in message.charts:
            try:
                chart = make()
                pictures.append(Picture(chart.name, chart.title, self.draw(chart)))
            except Exception as caught:  # noqa: BLE001  (whatever a chart may raise, the text is sent)
                self.warn(f"A chart of {message.key} could not be drawn: {type(caught).__name__}: {caught}")
        return tuple(pictures)


# --- pictures ---------------------------------------------------------------------------------------------------------
#
# Each is made when it is drawn: a chart that cannot be made must not cost the text.

Charts = tuple[Callable[[], Drawable], ...]
Subject = kinds.Anomaly | kinds.ResolvedAnomaly

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
    match event:
        case kinds.AnomalyOpened() | kinds.AnomalyUpdated() | kinds.AnomalyStillOpen():
            return _anomaly_charts(event.worst_first, writer)
        case kinds.AnomalyResolved():
            return _anomaly_charts(event.resolved, writer)
        case kinds.DailyReport():
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
        timezone=writer.settings.zone.key,
        language=writer.language,
    )


# --- anomalies -------------------------------------------------------------------------------------------------------


def _anomaly_charts(subjects: Sequence[Subject], writer: Writer) -> Charts:
    """One picture with a panel for each of the first few that have a history.

    One picture and not one for each, since a picture with a caption is one message, which can be edited as a whole.
    """
    shown = [subject for subject in subjects if subject.history is not None and subject.history.times]
    return (partial(_anomalies, shown[:_ANOMALY_PANELS], subjects, writer),) if shown else ()


def _anomalies(shown: Sequence[Subject], subjects: Sequence[Subject], writer: Writer) -> Chart:
    say, first = writer.say, subjects[0]
    last = max(subject.history.times[-1] for subject in shown if subject.history is not None)
    listed = writer.listed([_finding(subject, writer) for subject in subjects], _NAMED_IN_TITLE)
    if isinstance(first, kinds.ResolvedAnomaly):
        title = say("resolution", metrics=listed, resolved=subjects)
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
        marked=say("anomaly_chart_open") if isinstance(first, kinds.ResolvedAnomaly) else "",
    )


def _finding(subject: Subject, writer: Writer) -> str:
    is_over = isinstance(subject, kinds.ResolvedAnomaly)
    return writer.plain(writer.series(subject)) if is_over else writer.say("subject", a=subject)


def _anomaly_panel(subject: Subject, writer: Writer) -> Panel:
    history = subject.history
    assert history is not None  # only those that have one are shown
    if isinstance(subject, kinds.Anomaly):
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


def _slug(subject: Subject, count: int) -> str:
    """A file's name, also where the names are Cyrillic."""
    words = "-".join(filter(None, (subject.metric, subject.dimension, subject.dimension_value)))
    slug = re.sub("[^a-z0-9]+", "-", words.lower())[:_NAME_LENGTH].strip("-") or "chart"
    return slug if count == 1 else f"{slug}-and-{count - 1}"


# --- the report ------------------------------------------------------------------------------------------------------


def _report_charts(report: kinds.DailyReport, writer: Writer) -> Charts:
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


def _report_chart(report: kinds.DailyReport, name: str, series: Sequence[kinds.ReportSeries], writer: Writer) -> Chart:
    say = writer.say
    found = {highlight.metric: highlight for highlight in report.highlights or ()}
    names = {one.metric for one in series}
    here = [highlight for highlight in found.values() if highlight.metric in names]
    if here and not report.problem:
        title = say("report_chart_finding", highlights=here)
    else:
        title = say("report_chart_title", name=name, is_usual=report.highlights is not None and not found)
    return _chart(
        writer,
        f"report-{name}-{report.date}",
        title,
        [_report_panel(one, report.date, found.get(one.metric), writer) for one in series],
        say("report_chart_subtitle", date=writer.formats.day(report.date)),
        values=say("report_chart_actual"),
        previous=say("report_chart_before"),
        marked=say("report_chart_marked") if here else "",
    )


def _report_panel(
    series: kinds.ReportSeries, last: datetime.date, highlight: kinds.Highlight | None, writer: Writer
) -> Panel:
    """A metric's days, its value, and the change on the same weekday of the week before where there is one.

    Where the news is a record of weeks, it shows these weeks (or their same weekdays) instead.
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
            finding += f" · {writer.say('report_chart_weekdays', number=last.weekday())}"
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
