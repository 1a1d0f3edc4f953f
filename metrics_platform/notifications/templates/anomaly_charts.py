"""The pictures of anomalies: the last day by slots, what was expected, the day before, and the slot of the alert."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

from metrics_platform.charts.model import Chart, Labels, Panel
from metrics_platform.notifications.kinds import Anomaly, ResolvedAnomaly
from metrics_platform.notifications.templates.writer import Writer

# Panels of a message's picture: more of them would be too small on a phone.
_PANELS_SHOWN = 6
_NAMED_IN_TITLE = 3
_NAME_LENGTH = 60
_TITLE_LENGTH = 140


def charts_of(subjects: Sequence[Anomaly | ResolvedAnomaly], writer: Writer) -> tuple[Callable[[], Chart], ...]:
    """One picture with a panel for each of the first few that have a history.

    One picture and not one for each, since a picture with a caption is one message, which can be edited as a whole.
    """
    shown = [subject for subject in subjects if subject.history is not None and subject.history.times]
    return (partial(_chart, shown[:_PANELS_SHOWN], subjects, writer),) if shown else ()


def _chart(
    shown: Sequence[Anomaly | ResolvedAnomaly], subjects: Sequence[Anomaly | ResolvedAnomaly], writer: Writer
) -> Chart:
    say = writer.say
    first = subjects[0]
    over = isinstance(first, ResolvedAnomaly)
    last = max(subject.history.times[-1] for subject in shown if subject.history is not None)
    return Chart(
        name=_slug(shown[0], len(subjects)),
        title=_title(subjects, writer),
        subtitle=say("anomaly-chart-subtitle", date=writer.formats.day(writer.local(last).date())),
        panels=tuple(_panel(subject, writer) for subject in shown),
        labels=Labels(
            values=say("anomaly-chart-actual"),
            previous=say("anomaly-chart-day"),
            band=say("anomaly-chart-band"),
            marked=say("anomaly-chart-open") if over else "",
            no_data=say("chart-no-data"),
        ),
        timezone=writer.zone.key,
        language=writer.language,
    )


def _title(subjects: Sequence[Anomaly | ResolvedAnomaly], writer: Writer) -> str:
    """What happened, and when: "Views −41% at 10:45", "Views, Likes back in band"."""
    first = subjects[0]
    findings = [_finding(subject, writer) for subject in subjects]
    listed = writer.listed_text(findings, _NAMED_IN_TITLE)
    if isinstance(first, ResolvedAnomaly):
        title = writer.say("anomaly-chart-resolved", metrics=listed)
    else:
        time = writer.formats.time(writer.local(first.slot_start))
        title = writer.say("anomaly-chart-title", findings=listed, time=time)
    return title if len(title) <= _TITLE_LENGTH else f"{title[:_TITLE_LENGTH]}…"


def _finding(subject: Anomaly | ResolvedAnomaly, writer: Writer) -> str:
    return writer.series_text(subject) if isinstance(subject, ResolvedAnomaly) else writer.say("subject", a=subject)


def _panel(subject: Anomaly | ResolvedAnomaly, writer: Writer) -> Panel:
    history = subject.history
    assert history is not None  # `charts_of` takes only those that have one
    if isinstance(subject, Anomaly):
        marked = (subject.slot_start, subject.slot_start)
        note = writer.say("chart-no-data") if subject.value is None else _value(subject, writer)
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


def _value(anomaly: Anomaly, writer: Writer) -> str:
    return writer.of(anomaly.value, anomaly)


def _slug(subject: Anomaly | ResolvedAnomaly, count: int) -> str:
    """A file's name, also where the names are Cyrillic."""
    words = "-".join(filter(None, (subject.metric, subject.dimension, subject.dimension_value)))
    slug = re.sub("[^a-z0-9]+", "-", words.lower())[:_NAME_LENGTH].strip("-") or "chart"
    return slug if count == 1 else f"{slug}-and-{count - 1}"
