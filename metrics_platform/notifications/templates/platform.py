"""The platform itself: failed runs and checks, stale data and odd volumes, success, tests, the digest.

FAILED is for code, WARNING and CRITICAL are for data: the three never share a title.
"""

from __future__ import annotations

import datetime
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from metrics_platform.calendar import day_of
from metrics_platform.channel_settings import Severity
from metrics_platform.charts.model import Chart, Panel
from metrics_platform.notifications.kinds import (
    Automation,
    Digest,
    Event,
    FailedCheck,
    FailedRun,
    FailedRuns,
    FailedTick,
    FreshData,
    OddVolume,
    Recovered,
    ReportNotDelivered,
    StaleData,
    Success,
    TestMessage,
)
from metrics_platform.notifications.message import (
    Block,
    Line,
    Message,
    Paragraph,
    Parts,
    Preformatted,
    Span,
    Table,
    clean,
    code,
    cut,
    line,
)
from metrics_platform.notifications.templates.writer import Writer, listed, sentence
from metrics_platform.redaction import mask

# An error's text is cut here, its middle first: its beginning says what, its end says where.
_ERROR_LENGTH = 1200
# What is masked at all: more of an error is never shown, and masking takes longer the longer the text.
_ERROR_READ = 3000
# Where an error's class lives: longer than a phone is wide, and said in the run.
_MODULES = re.compile(r"^(?:\w{1,64}\.){1,16}(?=[A-Z]\w{0,64}(?:Error|Exception|Failure|Timeout): )", re.MULTILINE)
_NAMES_SHOWN = 5
_NUMBERS_SHOWN = 12
_DIGEST_LINES = 40
_LOUDEST_FIRST: tuple[Severity, ...] = ("critical", "failed", "warning", "resolved", "info")


def failed_run(event: FailedRun, writer: Writer) -> Message:
    """Where it failed, the cause, what is not up to date now, what to do."""
    say = writer.say
    where: list[Parts] = []
    if event.steps:
        where.append((say("failed-run-step", count=len(event.steps)), " ", *_codes(event.steps, writer)))
    if event.partition:
        where.append(_partition(event.partition, writer))
    if event.attempt and event.attempts and event.attempts > 1:
        where.append((say("failed-run-attempt", attempt=event.attempt, attempts=event.attempts),))
    blocks: list[Block] = [Paragraph((_dotted(where),))] if where else []
    how = "never-started" if event.never_started else "killed" if event.killed else ""
    if how:
        blocks.append(Paragraph((line(say(f"failed-run-{how}")),)))
    blocks += _quoted(_MODULES.sub("", event.cause))
    lines: list[Line] = []
    if event.repeats:
        lines.append(line(say("failed-run-repeats", count=event.repeats)))
    if event.impact:
        stale = say("failed-run-impact", count=len(event.impact))
        lines.append(writer.labelled("impact", stale, " ", *_codes(event.impact, writer)))
    lines.append(writer.labelled("next", say(f"failed-run-{how}-next" if how else "failed-run-next")))
    blocks.append(Paragraph(tuple(lines)))
    headline = writer.headline("failed", *writer.tell("failed-run-subject", job=_identifier(event.job)))
    return writer.message(event, headline, blocks, identifiers=[event.run_id[:8]] if event.run_id else [])


def failed_tick(event: FailedTick, writer: Writer) -> Message:
    """Which schedule or sensor raised, the cause, what to do."""
    say = writer.say
    what = "location" if event.automation == "code location" else "tick"
    blocks: list[Block] = [Paragraph((line(say(f"failed-{what}")),)), *_quoted(_MODULES.sub("", event.cause))]
    lines = [line(say("failed-run-repeats", count=event.repeats))] if event.repeats else []
    blocks.append(Paragraph((*lines, writer.labelled("next", say(f"failed-{what}-next")))))
    headline = writer.headline("failed", *_automation(event.automation, event.name, writer))
    return writer.message(event, headline, blocks)


def failed_runs(event: FailedRuns, writer: Writer) -> Message:
    """How many failed since when: by job and by cause, the most frequent first."""
    say = writer.say
    since = line(say("failed-runs-since", moment=writer.moment(event.since)))
    blocks: list[Block] = [Paragraph((since,))]
    for counted, most in ((event.subjects, 48), (event.causes, 120)):
        shown = [(count, code(cut(mask(name), most))) for name, count in counted[:_NAMES_SHOWN]]
        lines = [line(f"{writer.formats.number(count)} × ", name) for count, name in shown]
        if len(counted) > _NAMES_SHOWN:
            lines.append(line(say("and-more", count=len(counted) - _NAMES_SHOWN)))
        if lines:
            blocks.append(Paragraph(tuple(lines)))
    blocks.append(Paragraph((writer.labelled("next", say("failed-runs-next")),)))
    headline = writer.headline("failed", say("failed-runs-subject", count=event.failures))
    return writer.message(event, headline, blocks)


def recovered(event: Recovered, writer: Writer) -> Message:
    """The all-clear of a job, a check, or a schedule, sensor or code location that failed."""
    if event.job is not None:
        subject = writer.tell("recovered-job", job=_identifier(event.job))
    elif event.automation is not None:
        named = _automation(event.automation, event.name or "", writer)
        subject = writer.tell("recovered-automation", automation=named)
    else:
        names = {"check": _identifier(event.check or ""), "asset": _identifier(event.asset or "")}
        subject = writer.tell("recovered-check", **names)
    said = writer.say(
        "recovered-failed",
        count=event.failures,
        since=writer.moment(event.failed_since),
        until=writer.moment(event.failed_until),
        moment=writer.moment(event.occurred_at),
    )
    return writer.message(event, writer.headline("resolved", *subject), [Paragraph((line(said),))], silent=True)


def failed_check(event: FailedCheck, writer: Writer) -> Message:
    """Which check of which asset, what it found, what follows."""
    say = writer.say
    names = {"check": _identifier(event.check), "asset": _identifier(event.asset)}
    blocks: list[Block] = []
    if event.partition:
        blocks.append(Paragraph((sentence(*_partition(event.partition, writer)),)))
    blocks += _quoted(event.description)
    if event.numbers:
        rows = [(cut(name), cut(mask(value))) for name, value in event.numbers[:_NUMBERS_SHOWN]]
        blocks.append(Table(rows=tuple(rows)))
    lines = [line(say("failed-check-repeats", count=event.repeats))] if event.repeats else []
    lines += [writer.labelled("impact", say("failed-check-blocking"))] if event.blocking else []
    blocks.append(Paragraph((*lines, writer.labelled("next", say("failed-check-next")))))
    headline = writer.headline(event.severity, *writer.tell("failed-check-subject", **names))
    return writer.message(event, headline, blocks)


def stale_data(event: StaleData, writer: Writer) -> Message:
    """Since when nothing came, against which limit."""
    say, tell, formats = writer.say, writer.tell, writer.formats
    limit, table = formats.duration(event.limit), _identifier(event.table)
    if event.last_event_at is None:
        headline = [*tell("stale-never-subject", table=table)]
        said = say("stale-never", limit=limit)
    else:
        headline = [*tell("stale-subject", table=table)]
        ago = formats.duration(writer.now - event.last_event_at)
        said = say("stale-last", moment=writer.moment(event.last_event_at), ago=ago, limit=limit)
        if event.still:
            lasted = formats.duration(event.occurred_at - event.last_event_at)
            headline += [", ", say("stale-still", duration=lasted)]
    lines = (
        line(said),
        writer.labelled("impact", say("stale-impact")),
        writer.labelled("next", *tell("stale-next", table=table)),
    )
    return writer.message(event, writer.headline(event.severity, *headline), [Paragraph(lines)])


def fresh_data(event: FreshData, writer: Writer) -> Message:
    """The all-clear of stale data."""
    lasted = writer.formats.duration(event.last_event_at - event.stale_since)
    said = writer.say("fresh-last", moment=writer.moment(event.last_event_at), duration=lasted)
    headline = writer.headline("resolved", *writer.tell("fresh-subject", table=_identifier(event.table)))
    return writer.message(event, headline, [Paragraph((line(said),))], silent=True)


def odd_volume(event: OddVolume, writer: Writer) -> Message:
    """How many rows, against what is usual on such a day."""
    formats = writer.formats
    rows = formats.number(event.rows)
    change = formats.change(event.rows / event.expected - 1) if event.expected else f"0 → {rows}"
    said = writer.say(
        "volume-rows",
        count=event.rows,
        rows=rows,
        period=_period(event, writer),
        expected=formats.number(event.expected, 0),
        usual=formats.interval(formats.number(event.lower, 0), formats.number(event.upper, 0)),
    )
    subject = writer.tell("volume-subject", change=change, table=_identifier(event.table))
    lines = (line(said), writer.labelled("next", writer.say("volume-next")))
    return writer.message(event, writer.headline(event.severity, *subject), [Paragraph(lines)])


def success(event: Success, writer: Writer) -> Message:
    """The nightly load is done; its warnings are counted, not hidden."""
    say = writer.say
    facts: list[Parts] = [_partition(event.partition, writer)] if event.partition else []
    facts.append((say("success-took", duration=writer.formats.duration(event.took)),))
    facts.append((say("success-warnings", count=event.warnings),))
    headline = writer.headline("done", *writer.tell("success-subject", job=_identifier(event.job)))
    return writer.message(event, headline, [Paragraph((_dotted(facts),))], silent=True)


def report_not_delivered(event: ReportNotDelivered, writer: Writer) -> Message:
    """The report that did not come, and where to look."""
    say = writer.say
    headline = writer.headline("failed", say("not-delivered-subject", date=writer.formats.day(event.date)))
    blocks: list[Block] = [Paragraph((line(say("not-delivered-due", moment=writer.moment(event.due_at))),))]
    blocks += _quoted(event.reason)
    blocks.append(Paragraph((writer.labelled("next", say("not-delivered-next")),)))
    return writer.message(event, headline, blocks)


def test_message(event: TestMessage, writer: Writer) -> Message:
    """Hello, with a picture: a chat may take texts and no photos."""
    headline = writer.headline("test", *writer.tell("test-subject", name=code("metrics_platform")))
    moment = writer.formats.moment(writer.local(event.occurred_at))
    sent = line(writer.say("test-sent", moment=moment, zone=writer.zone.key))
    return writer.message(event, headline, [Paragraph((sent,))], silent=True, charts=(partial(_wave, event, writer),))


def _wave(event: TestMessage, writer: Writer) -> Chart:
    """Something to look at: a day with a wave in it."""
    start = event.occurred_at.replace(minute=0, second=0, microsecond=0) - datetime.timedelta(hours=23)
    times = tuple(start + datetime.timedelta(hours=hour) for hour in range(24))
    values = tuple(round(100 + 60 * math.sin(hour / 24 * 2 * math.pi)) for hour in range(24))
    title = writer.say("test-chart")
    return Chart(
        name="test",
        title=title,
        panels=(Panel(title=title, unit="count", times=times, values=values),),
        timezone=writer.zone.key,
        language=writer.language,
    )


def digest(event: Digest, told: Sequence[tuple[Event, Message]], writer: Writer) -> Message:
    """A line for each of them with when it happened, the loudest first; as loud as the loudest.

    Those whose facts are gone are told by their keys.
    """
    say = writer.say
    counted = Counter(message.severity for _, message in told)
    found = [say(f"digest-{severity}", count=counted[severity]) for severity in _LOUDEST_FIRST if counted[severity]]
    subject = say("digest-subject", count=len(told) or len(event.notifications))
    if found:
        subject += ": " + ", ".join(found)
    told = sorted(told, key=lambda each: (_LOUDEST_FIRST.index(each[1].severity), each[0].occurred_at))
    lines = [_digest_line(part, message, writer) for part, message in told[:_DIGEST_LINES]]
    if not told:
        lines = [line(code(key)) for key in event.notifications[:_DIGEST_LINES]]
    if (rest := max(len(told), 0 if told else len(event.notifications)) - _DIGEST_LINES) > 0:
        lines.append(line(say("and-more", count=rest)))
    blocks = [
        Paragraph((line(say("digest-why")),)),
        Paragraph(tuple(lines)),
        Paragraph((writer.labelled("next", *writer.tell("digest-next", asset=code("notifications"))),)),
    ]
    worst = told[0][1].severity if told else event.severity
    return writer.message(event, writer.headline("digest", subject), blocks, severity=worst)


def _digest_line(event: Event, message: Message, writer: Writer) -> Line:
    """Nothing in bold: of forty lines everything would be, and Telegram formats a hundred spans of a message."""
    plain = [replace(span, style="plain") if span.style == "bold" else span for span in message.headline]
    return line(f"{writer.moment(event.occurred_at)} ", *plain)


def shortened(text: str, length: int = _ERROR_LENGTH) -> str:
    """`text` at most `length` long: the middle gives way to «…»."""
    text = text.strip()
    if len(text) <= length:
        return text
    head = length * 2 // 3
    return f"{text[:head].rstrip()}\n…\n{text[-(length - head - 3) :].lstrip()}"


def _quoted(text: str) -> list[Block]:
    """What somebody else wrote, such as an error: without secrets, and no longer than a person reads."""
    if len(text) > _ERROR_READ:
        # Cut at a space, so that no half of a secret stands where its other half would have given it away.
        tail = text[-_ERROR_READ // 3 :]
        text = f"{text[: _ERROR_READ * 2 // 3]}\n…\n{tail.partition(' ')[2] or tail.partition(chr(10))[2]}"
    text = shortened(mask(clean(text)))
    return [Preformatted(text)] if text else []


def _period(event: OddVolume, writer: Writer) -> str:
    start, end = writer.local(event.period_start), writer.local(event.period_end)
    day = day_of(start.date(), writer.zone)
    written, times = writer.formats.day(start.date()), writer.formats.times(start, end)
    if (day.start, day.end) == (start, end):
        return written
    return f"{written} {times}" if end <= day.end else times  # which names its days itself


def _identifier(name: str) -> Span:
    return code(cut(name, 48))


def _automation(kind: Automation, name: str, writer: Writer) -> Parts:
    """«schedule daily_etl_schedule»."""
    return (writer.say(f"automation-{kind.replace(' ', '-')}"), " ", _identifier(name))


def _partition(key: str, writer: Writer) -> Parts:
    return (writer.say("failed-run-partition"), " ", code(cut(key)))


def _codes(names: Sequence[str], writer: Writer) -> Parts:
    """The first few names; how many more there are is said."""
    shown = listed((code(cut(name)),) for name in names[:_NAMES_SHOWN])
    rest = len(names) - _NAMES_SHOWN
    return (*shown, " ", writer.say("and-more", count=rest)) if rest > 0 else shown


def _dotted(facts: Sequence[Parts]) -> Line:
    """«Step users · partition 2026-11-21»."""
    first, *others = facts
    return sentence(*first, *(part for fact in others for part in (" · ", *fact)))
