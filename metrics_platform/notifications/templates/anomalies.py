"""Anomalies: opened (one or several), updated, still open, resolved, and the chart of the first of them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from functools import partial

from metrics_platform.charts.model import Band, Chart, Line, Mark, Panel
from metrics_platform.notifications.kinds import (
    Anomaly,
    AnomalyOpened,
    AnomalyResolved,
    AnomalyStillOpen,
    AnomalyUpdated,
    Contribution,
    History,
    ResolvedAnomaly,
)
from metrics_platform.notifications.message import Block, Details, Message, Paragraph, Table, bold, line
from metrics_platform.notifications.message import Line as TextLine
from metrics_platform.notifications.templates.writer import Writer

_CONTRIBUTIONS_SHOWN = 3
_NAMES_IN_HEADLINE = 3
_ROWS_SHOWN = 20
# Pictures of one message: an album has at most ten.
_CHARTS_SHOWN = 4


def opened(event: AnomalyOpened | AnomalyUpdated, writer: Writer) -> Message:
    """What → expected → where → data → how; several anomalies as a table."""
    anomalies = event.anomalies
    if len(anomalies) == 1:
        headline = writer.headline(event.severity, subject_of(anomalies[0], writer))
        blocks = _one(anomalies[0], event, writer)
    else:
        headline = writer.headline(event.severity, _several(anomalies, writer))
        blocks = [
            _table(anomalies, writer),
            *_where(anomalies[0], writer),
            *_data(event, writer),
            _how(anomalies, writer),
        ]
    if event.moved_with:
        names = writer.joined(writer.metric(metric) for metric in event.moved_with)
        said = writer.say("anomaly-moved-with", count=len(event.moved_with), list=names)
        blocks.append(Paragraph((line(said),)))
    return writer.message(
        event, headline, blocks, identifier=_identifiers(anomalies, writer), charts=_charts(anomalies, writer)
    )


def still_open(event: AnomalyStillOpen, writer: Writer) -> Message:
    """The reminder: how long, and how it stands now. Silent: the opening made the sound."""
    anomalies = event.anomalies
    what = subject_of(anomalies[0], writer) if len(anomalies) == 1 else _several(anomalies, writer)
    lasted = writer.formats.duration(writer.now - event.opened_at)
    emoji = {"critical": "🔴", "warning": "🟠"}[event.severity]
    subject = writer.say("anomaly-still-subject", subject=what, duration=lasted)
    headline = line(f"{emoji} ", bold(writer.say("state-still-open")), " · ", subject)
    since = line(writer.say("anomaly-open-since", moment=writer.moment(event.opened_at)))
    blocks: list[Block] = [Paragraph((since,))]
    if len(anomalies) == 1:
        blocks += [Paragraph((_values(anomalies[0], writer),)), *_where(anomalies[0], writer)]
    else:
        blocks.append(_table(anomalies, writer))
    return writer.message(
        event,
        headline,
        blocks,
        identifier=_identifiers(anomalies, writer),
        charts=_charts(anomalies, writer),
        silent=True,
    )


def resolved(event: AnomalyResolved, writer: Writer) -> Message:
    """The all-clear: how long it was open, and its worst point."""
    over = event.resolved
    if len(over) == 1:
        name = writer.metric(over[0].metric, over[0].dimension, over[0].dimension_value)
        subject = writer.say("anomaly-resolved-subject", metric=name)
    else:
        names = ", ".join(
            writer.metric(each.metric, each.dimension, each.dimension_value) for each in over[:_NAMES_IN_HEADLINE]
        )
        subject = writer.say("anomaly-resolved-several", count=len(over), list=names + ("…" if len(over) > 3 else ""))
    lines = [_over(each, writer, named=len(over) > 1) for each in over]
    if event.still_open:
        names = writer.joined(writer.metric(metric) for metric in event.still_open)
        lines.append(line(writer.say("anomaly-resolved-still-open", list=names)))
    charts = tuple(
        partial(_chart, each, each.history, writer) for each in over[:_CHARTS_SHOWN] if each.history is not None
    )
    identifier = writer.say("id", id=", ".join(each.incident for each in over[:_ROWS_SHOWN]))
    return writer.message(
        event,
        writer.headline("resolved", subject),
        [Paragraph(tuple(lines))],
        identifier=identifier,
        charts=charts,
        silent=True,
    )


def headline_when_over(event: AnomalyOpened | AnomalyUpdated, ended_at: datetime.datetime, writer: Writer) -> TextLine:
    """The first line that the opening's message gets when all of it is over."""
    anomalies = event.anomalies
    subject = subject_of(anomalies[0], writer) if len(anomalies) == 1 else _several(anomalies, writer)
    state = writer.say("state-resolved")
    lasted = writer.formats.duration(ended_at - event.occurred_at)
    said = writer.say("headline-over", state=state, duration=lasted, subject=subject)
    return line("✅ ", bold(said))


def subject_of(anomaly: Anomaly, writer: Writer) -> str:
    """«Views −41%», «Views (os Android): no data»."""
    name = writer.metric(anomaly.metric, anomaly.dimension, anomaly.dimension_value)
    if anomaly.value is None:
        return writer.say("anomaly-no-data", metric=name)
    return writer.say("anomaly-subject", metric=name, change=_deviation(anomaly, writer))


def _deviation(anomaly: Anomaly, writer: Writer) -> str:
    """From what was expected; where nothing was expected, the value itself says most."""
    if anomaly.value is not None and not anomaly.expected:
        return f"0 → {writer.value(anomaly.value, anomaly.unit)}"
    return writer.formats.change(anomaly.change)


def _several(anomalies: tuple[Anomaly, ...], writer: Writer) -> str:
    names = ", ".join(subject_of(anomaly, writer) for anomaly in anomalies[:_NAMES_IN_HEADLINE])
    more = "…" if len(anomalies) > _NAMES_IN_HEADLINE else ""
    return writer.say("anomaly-several", count=len(anomalies), list=names + more)


def _one(anomaly: Anomaly, event: AnomalyOpened | AnomalyUpdated, writer: Writer) -> list[Block]:
    facts = [_values(anomaly, writer)]
    where = _where(anomaly, writer)
    data = _data(event, writer)
    lines = [*facts, *(each for block in (*where, *data) for each in block.lines)]
    return [Paragraph(tuple(lines)), _how((anomaly,), writer)]


def _values(anomaly: Anomaly, writer: Writer) -> TextLine:
    value = "value" if anomaly.value else "nothing"
    if anomaly.unit != "count" and anomaly.value is not None:
        value = "value"
    expected = rough_band(anomaly, writer) or writer.value(anomaly.expected, anomaly.unit)
    variables = {"times": writer.times(anomaly.slot_start, anomaly.slot_end), "expected": expected}
    if value == "value":
        variables["value"] = writer.value(anomaly.value, anomaly.unit)
    if anomaly.day_before is None:
        return line(writer.say(f"anomaly-{value}", **variables))
    yesterday = writer.value(anomaly.day_before, anomaly.unit)
    return line(writer.say(f"anomaly-{value}-and-yesterday", yesterday=yesterday, **variables))


def _band(anomaly: Anomaly, writer: Writer) -> str:
    if anomaly.lower is None or anomaly.upper is None:
        return ""
    return writer.formats.interval(writer.value(anomaly.lower, anomaly.unit), writer.value(anomaly.upper, anomaly.unit))


def rough_band(anomaly: Anomaly, writer: Writer) -> str:
    """What was expected, in two figures; nothing where the detector has no bounds."""
    if anomaly.lower is None or anomaly.upper is None:
        return ""
    return writer.band(anomaly.lower, anomaly.upper, anomaly.unit)


def explained(anomaly: Anomaly, writer: Writer) -> tuple[str, ...]:
    """« vs expected 120–131: Android −68%», behind an anomaly's subject."""
    band = rough_band(anomaly, writer)
    said = [" " + writer.say("anomaly-against", expected=band)] if band else []
    if anomaly.contributions:
        first = anomaly.contributions[0]
        said.append(
            ": " + writer.say("anomaly-contribution", slice=first.value, change=writer.formats.change(first.change))
        )
    return tuple(said)


def _where(anomaly: Anomaly, writer: Writer) -> list[Paragraph]:
    shown = anomaly.contributions[:_CONTRIBUTIONS_SHOWN]
    if not shown:
        return []
    fell = (anomaly.change or -1) < 0
    return [Paragraph((writer.labelled("where", ", ".join(_contribution(each, fell, writer) for each in shown)),))]


def _contribution(contribution: Contribution, fell: bool, writer: Writer) -> str:
    change = writer.formats.change(contribution.change)
    if contribution.share_of_change is None:
        return writer.say("anomaly-contribution", slice=contribution.value, change=change)
    share = writer.formats.percent(contribution.share_of_change, 0)
    phrase = "anomaly-contribution-drop" if fell else "anomaly-contribution-rise"
    return writer.say(phrase, slice=contribution.value, change=change, share=share)


def _data(event: AnomalyOpened | AnomalyUpdated, writer: Writer) -> list[Paragraph]:
    if not event.complete:
        said = writer.say("anomaly-incomplete")
    elif event.fresh_at:
        said = writer.say("anomaly-complete", time=f"{writer.local(event.fresh_at):%H:%M:%S}")
    else:
        said = writer.say("anomaly-complete-unknown")
    return [Paragraph((writer.labelled("data", said),))]


def _how(anomalies: tuple[Anomaly, ...], writer: Writer) -> Details:
    lines = []
    for anomaly in anomalies[:_ROWS_SHOWN]:
        expected, band = writer.value(anomaly.expected, anomaly.unit), _band(anomaly, writer)
        detector = anomaly.detector or writer.formats.not_available
        said = (
            writer.say("anomaly-detector", detector=detector, expected=expected, band=band)
            if band
            else writer.say("anomaly-detector-alone", detector=detector, expected=expected)
        )
        score = writer.say("anomaly-score", score=writer.formats.number(anomaly.score, 1)) if anomaly.score else ""
        name = (
            f"{writer.metric(anomaly.metric, anomaly.dimension, anomaly.dimension_value)}: "
            if len(anomalies) > 1
            else ""
        )
        lines.append(line(name + ", ".join(filter(None, (said, score)))))
    return Details(writer.say("anomaly-how"), tuple(lines))


def _table(anomalies: tuple[Anomaly, ...], writer: Writer) -> Table:
    columns = ("metric", "value", "expected", "change")
    return Table(
        header=tuple(writer.say(f"anomaly-column-{column}") for column in columns),
        rows=tuple(
            (
                " ".join(filter(None, (writer.metric_short(anomaly.metric), anomaly.dimension_value))),
                writer.value(anomaly.value, anomaly.unit),
                writer.value(anomaly.expected, anomaly.unit),
                _deviation(anomaly, writer),
            )
            for anomaly in anomalies[:_ROWS_SHOWN]
        ),
    )


def _over(over: ResolvedAnomaly, writer: Writer, *, named: bool) -> TextLine:
    say = writer.say
    lasted = writer.formats.duration(over.resolved_at - over.opened_at)
    times = writer.times(over.opened_at, over.resolved_at)
    if named:
        name = writer.metric(over.metric, over.dimension, over.dimension_value)
        parts = [say("anomaly-resolved-open-for-named", metric=name, duration=lasted, times=times)]
    else:
        parts = [say("anomaly-resolved-open-for", duration=lasted, times=times)]
    if over.worst_change is not None and over.worst_at is not None:
        worst = writer.formats.change(over.worst_change)
        parts.append(say("anomaly-resolved-worst", change=worst, time=writer.formats.time(writer.local(over.worst_at))))
    if over.value is not None:
        parts.append(say("anomaly-resolved-now", value=writer.value(over.value, over.unit)))
    return line(" · ".join(parts))


def _identifiers(anomalies: tuple[Anomaly, ...], writer: Writer) -> str:
    return writer.say("id", id=", ".join(dict.fromkeys(anomaly.incident for anomaly in anomalies[:_ROWS_SHOWN])))


def _charts(anomalies: tuple[Anomaly, ...], writer: Writer) -> tuple[Callable[[], Chart], ...]:
    return tuple(
        partial(_chart, anomaly, anomaly.history, writer)
        for anomaly in anomalies[:_CHARTS_SHOWN]
        if anomaly.history is not None and anomaly.history.times
    )


def _chart(subject: Anomaly | ResolvedAnomaly, history: History, writer: Writer) -> Chart:
    say = writer.say
    title = say(
        "anomaly-chart-title",
        metric=writer.metric(subject.metric, subject.dimension, subject.dimension_value),
        date=writer.formats.day(writer.local(history.times[-1]).date()),
    )
    lines = [Line(label=say("anomaly-chart-actual"), values=history.values, style="actual")]
    if history.day_before:
        lines.append(Line(label=say("anomaly-chart-day"), values=history.day_before, style="previous"))
    if history.week_before:
        lines.append(Line(label=say("anomaly-chart-week"), values=history.week_before, style="reference"))
    band = None
    if history.lower and history.upper:
        band = Band(label=say("anomaly-chart-band"), lower=history.lower, upper=history.upper)
    panel = Panel(
        title=writer.metric(subject.metric),
        times=history.times,
        lines=tuple(lines),
        unit=subject.unit,
        band=band,
        marks=_marks(subject, writer),
    )
    name = "-".join(filter(None, (subject.metric, subject.dimension, subject.dimension_value)))
    return Chart(
        name=re.sub("[^a-z0-9]+", "-", name.lower()).strip("-") or "chart",
        title=title,
        panels=(panel,),
        timezone=writer.zone.key,
        language=writer.language,
    )


def _marks(subject: Anomaly | ResolvedAnomaly, writer: Writer) -> tuple[Mark, ...]:
    """The judged slot; of an incident that is over, the time it was open."""
    if isinstance(subject, Anomaly):
        start, end = subject.slot_start, subject.slot_end
    else:
        start, end = subject.opened_at, subject.resolved_at
    return (Mark(start=start, end=end, label=writer.say("anomaly-chart-judged"), style="judged"),)


__all__ = ["explained", "headline_when_over", "opened", "resolved", "still_open", "subject_of"]
