"""Anomalies: opened (one or several), updated, still open, resolved."""

from __future__ import annotations

from metrics_platform.notifications.kinds import (
    Anomaly,
    AnomalyOpened,
    AnomalyResolved,
    AnomalyStillOpen,
    AnomalyUpdated,
    Contribution,
    ResolvedAnomaly,
)
from metrics_platform.notifications.message import (
    Block,
    Details,
    Message,
    Paragraph,
    Parts,
    Span,
    Table,
    line,
    named,
    text_of,
)
from metrics_platform.notifications.message import Line as TextLine
from metrics_platform.notifications.templates.anomaly_charts import charts_of
from metrics_platform.notifications.templates.writer import Writer, bolded, listed, sentence

_CONTRIBUTIONS_SHOWN = 3
_NAMES_SHOWN = 3
_ROWS_SHOWN = 20
_EXPLAINED = 5  # more of them would push a caption over its limit


def opened(event: AnomalyOpened | AnomalyUpdated, writer: Writer) -> Message:
    """What → expected → where → data → impact → next, and how it was judged; several anomalies as a table."""
    anomalies = _worst_first(event.anomalies)
    lines = [*_where(anomalies[0], writer, with_name=len(anomalies) > 1), _data(event, writer)]
    lines += _moved(event, writer)
    lines.append(writer.labelled("next", *_next(anomalies[0], writer)))
    blocks: list[Block]
    if len(anomalies) == 1:
        blocks = [Paragraph((_values(anomalies[0], writer), *lines))]
    else:
        blocks = [_table(anomalies, writer), Paragraph((*_below_table(anomalies, writer), *lines))]
    blocks.append(_how(anomalies, writer))
    return writer.message(
        event,
        writer.headline(event.severity, *_subject(anomalies, writer)),
        blocks,
        identifiers=[anomaly.incident for anomaly in event.anomalies],
        charts=charts_of(anomalies, writer),
    )


def still_open(event: AnomalyStillOpen, writer: Writer) -> Message:
    """The reminder: how long, and how it stood at its last slot; as loud as the opening, which nobody answered."""
    anomalies = _worst_first(event.anomalies)
    lasted = writer.formats.duration(event.occurred_at - event.opened_at)
    subject = writer.tell("anomaly-still-open", subject=_subject(anomalies, writer), duration=lasted)
    lines = [sentence(*writer.tell("anomaly-open-since", moment=writer.moment(event.opened_at)))]
    lines += _where(anomalies[0], writer, with_name=len(anomalies) > 1)
    blocks: list[Block]
    if len(anomalies) == 1:
        blocks = [Paragraph((_values(anomalies[0], writer), *lines))]
    else:
        blocks = [_table(anomalies, writer), Paragraph((*_below_table(anomalies, writer), *lines))]
    return writer.message(
        event,
        writer.headline(event.severity, *subject),
        blocks,
        identifiers=[anomaly.incident for anomaly in event.anomalies],
        charts=charts_of(anomalies, writer),
    )


def resolved(event: AnomalyResolved, writer: Writer) -> Message:
    """The all-clear: how long it was open, and its worst point."""
    over = event.resolved
    names = [writer.metric(each.metric, each.dimension, each.dimension_value) for each in over]
    if len(over) == 1:
        subject = writer.tell("anomaly-resolved-subject", metric=names[0])
    else:
        more = ("…",) if len(over) > _NAMES_SHOWN else ()
        subject = writer.tell("anomaly-resolved-several", count=len(over), list=(*listed(names[:_NAMES_SHOWN]), *more))
    lines = [_over(each, writer, with_name=len(over) > 1) for each in over[:_ROWS_SHOWN]]
    lines += _more(len(over) - _ROWS_SHOWN, writer)
    if event.still_open:
        still = writer.joined(writer.metric(metric) for metric in event.still_open[:_ROWS_SHOWN])
        lines.append(line(*writer.tell("anomaly-resolved-still-open", list=still)))
    return writer.message(
        event,
        writer.headline("resolved", *subject),
        [Paragraph(tuple(lines))],
        identifiers=[each.incident for each in over],
        charts=charts_of(over, writer),
        silent=True,
    )


def headline_when_over(event: AnomalyOpened | AnomalyUpdated, over: AnomalyResolved, writer: Writer) -> TextLine:
    """The first line that the opening's message gets when all of it is over: how long it was, as in the all-clear.

    `event` is what the message tells now.
    """
    subject = _subject(_worst_first(event.anomalies), writer)
    opened_at = min(each.opened_at for each in over.resolved)
    lasted = writer.formats.duration(max(each.resolved_at for each in over.resolved) - opened_at)
    return writer.headline("resolved", *writer.tell("headline-over", duration=lasted, subject=subject))


def subject_of(anomaly: Anomaly, writer: Writer) -> Parts:
    """«Views −41%», «Views (OS Android): no data»."""
    name = writer.metric(anomaly.metric, anomaly.dimension, anomaly.dimension_value)
    if anomaly.value is None:
        return writer.tell("anomaly-no-data", metric=name)
    return writer.tell("anomaly-subject", metric=name, change=_deviation(anomaly, writer))


def explained(anomaly: Anomaly, times: str, writer: Writer) -> Parts:
    """« at 10:45–11:00 vs expected 115–135: Android −68%», behind an anomaly's subject."""
    said: list[str | Span] = [" ", writer.say("anomaly-at", times=times)] if times else []
    if band := _rough_band(anomaly, writer):
        said += [" ", writer.say("anomaly-against", expected=band)]
    if anomaly.contributions:
        first = anomaly.contributions[0]
        said += [": ", *_slice(first, writer), " ", writer.formats.change(first.change)]
    return tuple(said)


def _worst_first(anomalies: tuple[Anomaly, ...]) -> tuple[Anomaly, ...]:
    return tuple(sorted(anomalies, key=lambda anomaly: anomaly.severity != "critical"))


def _subject(anomalies: tuple[Anomaly, ...], writer: Writer) -> Parts:
    if len(anomalies) == 1:
        return subject_of(anomalies[0], writer)
    names = listed(subject_of(anomaly, writer) for anomaly in anomalies[:_NAMES_SHOWN])
    more = ("…",) if len(anomalies) > _NAMES_SHOWN else ()
    return writer.tell("anomaly-several", count=len(anomalies), list=(*names, *more))


def _deviation(anomaly: Anomaly, writer: Writer) -> str:
    """From what was expected; where nothing was expected, or nobody knows what, the value itself says most."""
    if anomaly.value is None or anomaly.change is not None:
        return writer.formats.change(anomaly.change)
    value = writer.value(anomaly.value, anomaly.unit, anomaly.metric)
    return value if anomaly.expected is None else f"0 → {value}"


def _values(anomaly: Anomaly, writer: Writer) -> TextLine:
    times = writer.times(anomaly.slot_start, anomaly.slot_end)
    expected = _rough_band(anomaly, writer) or writer.value(anomaly.expected, anomaly.unit, anomaly.metric)
    if anomaly.value is None:
        said = writer.say("anomaly-no-data-at", times=times, expected=expected)
    elif anomaly.unit == "count" and anomaly.value == 0:
        said = writer.say("anomaly-nothing-at", times=times, expected=expected)
    else:
        value = writer.value(anomaly.value, anomaly.unit, anomaly.metric)
        said = writer.say("anomaly-value-at", value=value, times=times, expected=expected)
    if anomaly.day_before is not None:
        said += " " + writer.say(
            "anomaly-yesterday", value=writer.value(anomaly.day_before, anomaly.unit, anomaly.metric)
        )
    return line(said)


def _rough_band(anomaly: Anomaly, writer: Writer) -> str:
    """What was expected, in few figures; nothing where the detector has no bounds."""
    if anomaly.lower is None or anomaly.upper is None:
        return ""
    return writer.band(anomaly.lower, anomaly.upper, anomaly.unit)


def _where(anomaly: Anomaly, writer: Writer, *, with_name: bool) -> list[TextLine]:
    shown = anomaly.contributions[:_CONTRIBUTIONS_SHOWN]
    name = (*writer.metric(anomaly.metric, anomaly.dimension, anomaly.dimension_value), ": ") if with_name else ()
    if not shown:
        total = anomaly.dimension is None and anomaly.change is not None
        return [writer.labelled("where", *name, writer.say("anomaly-no-slice"))] if total else []
    fell = not _rose(anomaly)
    return [writer.labelled("where", *name, *listed(_contribution(each, fell, writer) for each in shown))]


def _contribution(contribution: Contribution, fell: bool, writer: Writer) -> Parts:
    change = writer.formats.change(contribution.change)
    if contribution.share_of_change is None:
        return (*_slice(contribution, writer), " ", change)
    share = writer.formats.percent(contribution.share_of_change, 0)
    phrase = "anomaly-contribution-drop" if fell else "anomaly-contribution-rise"
    return writer.tell(phrase, slice=_slice(contribution, writer), change=change, share=share)


def _slice(contribution: Contribution, writer: Writer) -> Parts:
    return writer.slice(contribution.dimension, contribution.value, short=True)


def _rose(anomaly: Anomaly) -> bool:
    return anomaly.value is not None and anomaly.value > (anomaly.expected or 0)


def _data(event: AnomalyOpened | AnomalyUpdated, writer: Writer) -> TextLine:
    if not event.complete:
        said = writer.say("anomaly-incomplete")
    elif event.fresh_at and event.fresh_at < max(anomaly.slot_end for anomaly in event.anomalies):
        said = writer.say("anomaly-last-event", time=f"{writer.local(event.fresh_at):%H:%M:%S}")
    elif event.fresh_at:
        said = writer.say("anomaly-complete", time=f"{writer.local(event.fresh_at):%H:%M:%S}")
    else:
        said = writer.say("anomaly-complete-unknown")
    return writer.labelled("data", said)


def _moved(event: AnomalyOpened | AnomalyUpdated, writer: Writer) -> list[TextLine]:
    if not event.moved_with:
        return []
    names = writer.joined(writer.metric(metric) for metric in event.moved_with[:_ROWS_SHOWN])
    said = writer.tell("anomaly-moved-with", count=len(event.moved_with), list=names)
    return [writer.labelled("impact", *said)]


def _next(anomaly: Anomaly, writer: Writer) -> Parts:
    """What usually explains such a change, and where to look first."""
    if not anomaly.value and not _rose(anomaly):
        return (writer.say("anomaly-next-nothing"),)
    phrase = "anomaly-next-rise" if _rose(anomaly) else "anomaly-next-drop"
    time = writer.formats.time(writer.local(anomaly.slot_start))
    if not anomaly.contributions:
        return writer.tell(phrase, time=time)
    return writer.tell(f"{phrase}-in-slice", time=time, slice=_slice(anomaly.contributions[0], writer))


def _how(anomalies: tuple[Anomaly, ...], writer: Writer) -> Details:
    lines = []
    for anomaly in anomalies[:_EXPLAINED]:
        unit = anomaly.unit
        detector = named(anomaly.detector) if anomaly.detector else writer.formats.not_available
        said = [*writer.tell("anomaly-detector", detector=detector)]
        said += [", ", writer.say("anomaly-expected", expected=writer.value(anomaly.expected, unit))]
        if anomaly.lower is not None and anomaly.upper is not None:
            band = writer.formats.interval(writer.value(anomaly.lower, unit), writer.value(anomaly.upper, unit))
            said += [", ", writer.say("anomaly-band", band=band)]
        if anomaly.score is not None:
            said += [", ", writer.say("anomaly-score", score=writer.formats.number(anomaly.score, 1))]
        if len(anomalies) > 1:
            said = [*writer.metric(anomaly.metric, anomaly.dimension, anomaly.dimension_value), ": ", *said]
        lines.append(line(*said))
    lines += _more(len(anomalies) - _EXPLAINED, writer)
    return Details(writer.say("anomaly-how"), tuple(lines))


def _table(anomalies: tuple[Anomaly, ...], writer: Writer) -> Table:
    """The anomalies' numbers; a slice stands below its metric, for both do not fit a phone's width."""
    rows: list[tuple[str, ...]] = []
    for anomaly in anomalies[:_ROWS_SHOWN]:
        value, expected = (writer.cell(each, anomaly.unit) for each in (anomaly.value, anomaly.expected))
        rows.append((writer.metric_short(anomaly.metric), value, expected, _deviation(anomaly, writer)))
        if anomaly.dimension is not None:
            name = line(*writer.slice(anomaly.dimension, anomaly.dimension_value or "", short=True))
            rows.append((f"└ {text_of(name)}", "", "", ""))
    header = tuple(writer.say(f"anomaly-column-{name}") for name in ("metric", "value", "expected", "change"))
    return Table(header=header, rows=tuple(rows))


def _below_table(anomalies: tuple[Anomaly, ...], writer: Writer) -> list[TextLine]:
    """What its rows do not say: how many more there are, of which slot, and which are only a warning."""
    lines = _more(len(anomalies) - _ROWS_SHOWN, writer)
    warnings = [anomaly for anomaly in anomalies[:_ROWS_SHOWN] if anomaly.severity == "warning"]
    if 0 < len(warnings) < len(anomalies):
        names = [writer.metric(each.metric, each.dimension, each.dimension_value) for each in warnings]
        lines.append(line(*writer.tell("anomaly-only-warning", list=listed(names))))
    times = {writer.times(anomaly.slot_start, anomaly.slot_end) for anomaly in anomalies}
    if len(times) == 1:
        lines.append(writer.labelled("when", times.pop()))
    return lines


def _more(count: int, writer: Writer) -> list[TextLine]:
    return [line(writer.say("and-more", count=count))] if count > 0 else []


def _over(over: ResolvedAnomaly, writer: Writer, *, with_name: bool) -> TextLine:
    lasted = writer.formats.duration(over.resolved_at - over.opened_at)
    times = writer.times(over.opened_at, over.resolved_at)
    parts: list[str | Span] = [writer.say("anomaly-resolved-open-for", duration=lasted, times=times)]
    if over.worst_change is not None and over.worst_at is not None:
        worst = writer.formats.change(over.worst_change)
        parts += [" · ", writer.say("anomaly-resolved-worst", change=worst, moment=writer.moment(over.worst_at))]
    if over.value is not None:
        parts += [" · ", writer.say("anomaly-resolved-now", value=writer.value(over.value, over.unit, over.metric))]
    if not with_name:
        return sentence(*parts)
    return line(*bolded(writer.metric(over.metric, over.dimension, over.dimension_value)), ": ", *parts)


__all__ = ["explained", "headline_when_over", "opened", "resolved", "still_open", "subject_of"]
