"""The platform itself: failed runs and checks, stale data and odd volumes, success, tests, the digest.

FAILED is for code, WARNING and CRITICAL are for data: the three never share a title.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from metrics_platform.channel_settings import Severity
from metrics_platform.notifications.kinds import (
    Digest,
    FailedCheck,
    FailedRun,
    FreshData,
    OddVolume,
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
    Preformatted,
    Span,
    Table,
    code,
    line,
)
from metrics_platform.notifications.redaction import mask
from metrics_platform.notifications.templates.writer import Writer

# An error's text is cut here, its middle first: its beginning says what, its end says where.
_ERROR_LENGTH = 1200
_NAMES_SHOWN = 5


def failed_run(event: FailedRun, writer: Writer) -> Message:
    """Where it failed, the cause, what is not up to date now, what to do."""
    say = writer.say
    where: list[str | Span] = []
    if event.steps:
        where += [say("failed-run-step", count=len(event.steps)), " ", *_codes(event.steps)]
    if event.partition:
        where += [" · " if where else "", say("failed-run-partition"), " ", code(event.partition)]
    if event.attempt and event.attempts and event.attempts > 1:
        where += [" · " if where else "", say("failed-run-attempt", attempt=event.attempt, attempts=event.attempts)]
    blocks: list[Block] = [Paragraph((line(*where),))] if where else []
    if event.killed:
        blocks.append(Paragraph((line(say("failed-run-killed")),)))
    if event.cause.strip():
        blocks.append(Preformatted(shortened(mask(event.cause))))
    lines: list[Line] = []
    if event.impact:
        stale = [say("failed-run-impact", count=len(event.impact)), " ", *_codes(event.impact[:_NAMES_SHOWN])]
        if rest := len(event.impact) - _NAMES_SHOWN:
            stale += [" ", say("failed-run-more", count=rest)] if rest > 0 else []
        lines.append(writer.labelled("impact", *stale))
    if event.repeats:
        lines.append(line(say("failed-run-repeats", count=event.repeats)))
    lines.append(writer.labelled("next", say("failed-run-next")))
    blocks.append(Paragraph(tuple(lines)))
    headline = writer.headline("failed", _around(say("failed-run-subject", job="\0"), event.job))
    identifier = event.run_id[:8] if event.run_id else None
    return writer.message(event, headline, blocks, identifier=identifier)


def failed_check(event: FailedCheck, writer: Writer) -> Message:
    """Which check of which asset, what it found, what follows."""
    say = writer.say
    before, after = _around(say("failed-check-subject", check="\0", asset="\1"), event.check)[::2]
    between, *rest = _around(str(after).replace("\1", "\0"), event.asset)
    subject: tuple[str | Span, ...] = (before, code(event.check), between, *rest)
    blocks: list[Block] = []
    if event.partition:
        blocks.append(Paragraph((line(say("failed-run-partition"), " ", code(event.partition)),)))
    if event.description.strip():
        blocks.append(Preformatted(shortened(mask(event.description))))
    if event.numbers:
        blocks.append(Table(rows=event.numbers))
    lines = [writer.labelled("impact", say("failed-check-blocking"))] if event.blocking else []
    blocks.append(Paragraph((*lines, writer.labelled("next", say("failed-check-next")))))
    return writer.message(event, writer.headline(event.severity, subject), blocks)


def stale_data(event: StaleData, writer: Writer) -> Message:
    """Since when nothing came, against which limit."""
    say, formats = writer.say, writer.formats
    limit = formats.duration(event.limit)
    headline: list[str | Span] = list(_around(say("stale-subject", table="\0"), event.table))
    if event.last_event_at is None:
        said = say("stale-never", limit=limit)
    else:
        age = formats.duration(writer.now - event.last_event_at)
        said = say("stale-last", moment=writer.moment(event.last_event_at), ago=age, limit=limit)
        if event.still:
            headline.append(" " + say("stale-still", duration=age))
    blocks = [
        Paragraph(
            (
                line(said),
                writer.labelled("impact", say("stale-impact")),
                writer.labelled("next", *_around(say("stale-next", table="\0"), event.table)),
            )
        )
    ]
    silent = True if event.still else None
    return writer.message(event, writer.headline(event.severity, tuple(headline)), blocks, silent=silent)


def fresh_data(event: FreshData, writer: Writer) -> Message:
    """The all-clear of stale data."""
    say = writer.say
    lasted = writer.formats.duration(event.last_event_at - event.stale_since)
    said = say("fresh-last", moment=writer.moment(event.last_event_at), duration=lasted)
    headline = writer.headline("resolved", _around(say("fresh-subject", table="\0"), event.table))
    return writer.message(event, headline, [Paragraph((line(said),))], silent=True)


def odd_volume(event: OddVolume, writer: Writer) -> Message:
    """How many rows, against what is usual on such a day."""
    say, formats = writer.say, writer.formats
    change = formats.change(event.rows / event.expected - 1) if event.expected else formats.not_available
    start, end = writer.local(event.period_start), writer.local(event.period_end)
    whole_day = start.time() == end.time()
    period = formats.day(start.date()) if whole_day else f"{formats.day(start.date())} {formats.times(start, end)}"
    usual = formats.interval(formats.number(event.lower, 0), formats.number(event.upper, 0))
    expected = formats.number(event.expected, 0)
    said = say("volume-rows", rows=formats.number(event.rows), period=period, expected=expected, usual=usual)
    headline = writer.headline(event.severity, _around(say("volume-subject", change=change, table="\0"), event.table))
    return writer.message(event, headline, [Paragraph((line(said), writer.labelled("next", say("volume-next"))))])


def success(event: Success, writer: Writer) -> Message:
    """The nightly load is done; its warnings are counted, not hidden."""
    say = writer.say
    headline = writer.headline("done", _around(say("success-subject", job="\0"), event.job))
    facts: list[str | Span] = []
    if event.partition:
        facts += [say("failed-run-partition"), " ", code(event.partition), " · "]
    facts += [say("success-took", duration=writer.formats.duration(event.took)), " · "]
    facts.append(say("success-warnings", count=event.warnings))
    return writer.message(event, headline, [Paragraph((line(*facts),))], silent=True)


def report_not_delivered(event: ReportNotDelivered, writer: Writer) -> Message:
    """The report that did not come, and where to look."""
    say = writer.say
    headline = writer.headline("failed", say("not-delivered-subject", date=writer.formats.day(event.date)))
    blocks: list[Block] = [Paragraph((line(say("not-delivered-due", moment=writer.moment(event.due_at))),))]
    if event.reason.strip():
        blocks.append(Preformatted(shortened(mask(event.reason))))
    blocks.append(Paragraph((writer.labelled("next", say("not-delivered-next")),)))
    return writer.message(event, headline, blocks)


def test_message(event: TestMessage, writer: Writer) -> Message:
    """Hello."""
    say = writer.say
    headline = writer.headline("test", _around(say("test-subject"), "metrics_platform"))
    sent = line(say("test-sent", moment=writer.formats.moment(writer.local(event.occurred_at))), f" {writer.zone.key}")
    return writer.message(event, headline, [Paragraph((sent,))], silent=True)


def digest(event: Digest, messages: Sequence[Message], writer: Writer) -> Message:
    """A line for each of `messages`, with when it happened; as loud as the loudest of them."""
    say = writer.say
    severities: list[Severity] = ["critical", "failed", "warning", "resolved", "info"]
    counted = Counter(message.severity for message in messages)
    parts = [say(f"digest-{severity}", count=counted[severity]) for severity in severities if counted[severity]]
    subject = say("digest-subject", count=len(messages), list=", ".join(parts))
    lines = tuple(message.headline for message in messages)
    blocks = [
        Paragraph((line(say("digest-why")),)),
        Paragraph(lines),
        Paragraph((writer.labelled("next", say("digest-next")),)),
    ]
    worst = next(severity for severity in severities if counted[severity])
    return writer.message(event, writer.headline("digest", subject), blocks, severity=worst)


def shortened(text: str, length: int = _ERROR_LENGTH) -> str:
    """`text` at most `length` long: the middle gives way to «…»."""
    text = text.strip()
    if len(text) <= length:
        return text
    head = length * 2 // 3
    return f"{text[:head].rstrip()}\n…\n{text[-(length - head - 3) :].lstrip()}"


def _codes(names: Sequence[str]) -> list[str | Span]:
    shown: list[str | Span] = []
    for name in names[:_NAMES_SHOWN]:
        shown += [", " if shown else "", code(name)]
    return shown


def _around(phrase: str, identifier: str) -> tuple[str | Span, ...]:
    """A phrase whose variable was said as NUL, or that names `identifier` itself, with it as an identifier there."""
    before, _, after = phrase.partition("\0" if "\0" in phrase else identifier)
    return (before, code(identifier), after)
