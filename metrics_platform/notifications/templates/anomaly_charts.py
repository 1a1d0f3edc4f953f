"""The pictures of anomalies: a day of slots with the expected band, earlier days, and the judged slot marked."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from functools import partial

from metrics_platform.charts.model import Band, Chart, Line, Mark, Panel
from metrics_platform.notifications.kinds import Anomaly, History, ResolvedAnomaly
from metrics_platform.notifications.templates.writer import Writer

# Panels of a message's picture: more of them would be too small on a phone.
_PANELS_SHOWN = 6
_NAME_LENGTH = 60
_DAY = datetime.timedelta(days=1)


def charts_of(subjects: Sequence[Anomaly | ResolvedAnomaly], writer: Writer) -> tuple[Callable[[], Chart], ...]:
    """One picture with a panel for each of the first few that have a history.

    One, and not one for each: a picture with a caption is one message, which can be changed as a whole.
    """
    shown = [subject for subject in subjects if subject.history is not None and subject.history.times]
    return (partial(_chart, shown[:_PANELS_SHOWN], len(subjects), writer),) if shown else ()


def _chart(subjects: Sequence[Anomaly | ResolvedAnomaly], count: int, writer: Writer) -> Chart:
    first = subjects[0]
    last = max(each.history.times[-1] for each in subjects if each.history is not None)
    date = writer.formats.day(writer.local(last).date())
    if count == 1:
        title = writer.say("anomaly-chart-title", metric=_name(first, writer), date=date)
    else:
        title = writer.say("anomaly-chart-several", count=count, date=date)
    return Chart(
        name=_slug(first, count),
        title=title,
        panels=tuple(_panel(each, each.history, writer) for each in subjects if each.history is not None),
        timezone=writer.zone.key,
        language=writer.language,
    )


def _panel(subject: Anomaly | ResolvedAnomaly, history: History, writer: Writer) -> Panel:
    say = writer.say
    lines = [Line(label=say("anomaly-chart-actual"), values=history.values, style="actual")]
    if history.day_before:
        lines.append(Line(label=say("anomaly-chart-day"), values=history.day_before, style="previous"))
    if history.week_before:
        lines.append(Line(label=say("anomaly-chart-week"), values=history.week_before, style="reference"))
    band = None
    if history.lower and history.upper:
        band = Band(label=say("anomaly-chart-band"), lower=history.lower, upper=history.upper)
    return Panel(
        title=_name(subject, writer),
        times=history.times,
        lines=tuple(lines),
        unit=subject.unit,
        band=band,
        marks=_marks(subject, writer),
    )


def _name(subject: Anomaly | ResolvedAnomaly, writer: Writer) -> str:
    return writer.series_text(subject)


def _slug(subject: Anomaly | ResolvedAnomaly, count: int) -> str:
    """A file's name, also where the names are Cyrillic."""
    words = "-".join(filter(None, (subject.metric, subject.dimension, subject.dimension_value)))
    slug = re.sub("[^a-z0-9]+", "-", words.lower())[:_NAME_LENGTH].strip("-") or "chart"
    return slug if count == 1 else f"{slug}-and-{count - 1}"


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
