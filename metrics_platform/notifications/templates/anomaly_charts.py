"""The pictures of anomalies: a day of slots with the expected band, earlier days, and the judged slot marked."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from functools import partial

from metrics_platform.charts.model import Band, Chart, Line, Mark, Panel
from metrics_platform.notifications.kinds import Anomaly, History, ResolvedAnomaly
from metrics_platform.notifications.message import line, text_of
from metrics_platform.notifications.templates.writer import Writer

# Pictures of one message: an album has at most ten, and nobody swipes through more than a few.
_CHARTS_SHOWN = 4
_NAME_LENGTH = 60
_DAY = datetime.timedelta(days=1)


def charts_of(subjects: Sequence[Anomaly | ResolvedAnomaly], writer: Writer) -> tuple[Callable[[], Chart], ...]:
    """The charts of the first few that have a history."""
    shown = [subject for subject in subjects if subject.history is not None and subject.history.times]
    return tuple(
        partial(_chart, subject, subject.history, number, writer)
        for number, subject in enumerate(shown[:_CHARTS_SHOWN], 1)
        if subject.history is not None
    )


def _chart(subject: Anomaly | ResolvedAnomaly, history: History, number: int, writer: Writer) -> Chart:
    say = writer.say
    name = text_of(line(*writer.metric(subject.metric, subject.dimension, subject.dimension_value)))
    lines = [Line(label=say("anomaly-chart-actual"), values=history.values, style="actual")]
    if history.day_before:
        lines.append(Line(label=say("anomaly-chart-day"), values=history.day_before, style="previous"))
    if history.week_before:
        lines.append(Line(label=say("anomaly-chart-week"), values=history.week_before, style="reference"))
    band = None
    if history.lower and history.upper:
        band = Band(label=say("anomaly-chart-band"), lower=history.lower, upper=history.upper)
    panel = Panel(
        title=name,
        times=history.times,
        lines=tuple(lines),
        unit=subject.unit,
        band=band,
        marks=_marks(subject, writer),
    )
    date = writer.formats.day(writer.local(history.times[-1]).date())
    return Chart(
        name=_slug(subject, number),
        title=say("anomaly-chart-title", metric=name, date=date),
        panels=(panel,),
        timezone=writer.zone.key,
        language=writer.language,
    )


def _slug(subject: Anomaly | ResolvedAnomaly, number: int) -> str:
    """A file's name: of its own for each picture of a message, also where names differ only in Cyrillic."""
    words = "-".join(filter(None, (subject.metric, subject.dimension, subject.dimension_value)))
    slug = re.sub("[^a-z0-9]+", "-", words.lower())[:_NAME_LENGTH].strip("-") or "chart"
    return slug if number == 1 else f"{slug}-{number}"


def _marks(subject: Anomaly | ResolvedAnomaly, writer: Writer) -> tuple[Mark, ...]:
    """The judged slot; of an incident that is over, the time it was open."""
    if isinstance(subject, Anomaly):
        start, end, label = subject.slot_start, subject.slot_end, "anomaly-chart-judged"
    else:
        start, end, label = subject.opened_at, subject.resolved_at, "anomaly-chart-open"
    marks = (Mark(start=start, end=end, label=writer.say(label), style="judged"),)
    if isinstance(subject, ResolvedAnomaly) or subject.history is None or start - _DAY < subject.history.times[0]:
        return marks
    compared = Mark(start=start - _DAY, end=end - _DAY, label=writer.say("anomaly-chart-compared"), style="compared")
    return (compared, *marks)
