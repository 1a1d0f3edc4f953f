"""What a run of `notify` does: send what is due, and show each attempt in its message's partition."""

from __future__ import annotations

import base64
import datetime
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

import dagster as dg

from metrics_platform.charts.model import smaller
from metrics_platform.defs.delivery.notify import ASSET, KEY, MONITOR_JOB
from metrics_platform.defs.delivery.storage import EventLog, queue_of, recent_sends
from metrics_platform.defs.resources import TelegramResource
from metrics_platform.notifications.channels import channels_for
from metrics_platform.notifications.composer import Composer
from metrics_platform.notifications.dispatcher import Attempt, Dispatcher
from metrics_platform.notifications.history import (
    Closed,
    Edited,
    Entry,
    Failed,
    History,
    Journal,
    Position,
    Reopened,
    Sending,
    Sent,
    Stored,
)
from metrics_platform.notifications.kinds import Digest
from metrics_platform.notifications.message import (
    Block,
    Details,
    Line,
    Link,
    Message,
    Paragraph,
    Picture,
    Span,
    clean,
    lines_of,
    text_of,
)
from metrics_platform.notifications.telegram import GROUP_SECONDS
from metrics_platform.settings import Settings

Context = dg.OpExecutionContext | dg.AssetExecutionContext
# Dagster lists this many partitions. Older ones leave its list, their entries stay in its event log.
MAX_PARTITIONS = 2000
# A check of the monitor is waited for, because it may queue an alert. The first check of a history takes longer.
_LONGEST_CHECK_SECONDS = 60


def send_due(context: dg.OpExecutionContext, position: str, telegram: TelegramResource, settings: Settings) -> None:
    """Send every message that is due; `position`: where to read the queue from, as JSON.

    Raises:
        dg.Failure: some could not be delivered; it names them.
    """
    storage = EventLog(context.instance, context.log_event)
    start = Position.model_validate_json(position)
    journal = queue_of(storage, settings, start, datetime.datetime.now(datetime.UTC))
    problems: dict[str, str] = {}

    def report(attempt: Attempt) -> None:
        problem = message_problem([attempt], journal.history(attempt.key))
        problems[f"{attempt.key} over {attempt.channel}"] = problem
        _show(context, attempt, journal, problem, settings)

    checks = dg.RunsFilter(job_name=MONITOR_JOB, statuses=[dg.DagsterRunStatus.STARTED])
    if context.instance.get_runs_count(checks):
        # An alert has a chart. What draws it takes a second to load, which passes while the check computes.
        import metrics_platform.charts.figure  # noqa: F401, PLC0415
    deadline = time.monotonic() + _LONGEST_CHECK_SECONDS
    step = _dispatcher(context, journal, telegram, settings).drain(
        report, expects_more=lambda: time.monotonic() < deadline and context.instance.get_runs_count(checks) > 0
    )
    context.log.info(f"Nothing more is sent now: {step.reason}.")
    failed = {what: problem for what, problem in problems.items() if problem}
    if failed:
        listed = " ".join(f"{what}: {problem}" for what, problem in list(failed.items())[:5])
        text = f"{len(failed)} of {len(problems)} deliveries failed. {listed}"
        raise dg.Failure(text, metadata=failed, allow_retries=False)


def send_one(
    context: dg.AssetExecutionContext, telegram: TelegramResource, settings: Settings, *, again: bool
) -> dict[str, Any]:
    """Send the message of the run's partition; `again`: although it was closed. Returns its metadata.

    Raises:
        dg.Failure: the message is unknown or could not be delivered.
    """
    key = context.partition_key
    journal = Journal(EventLog(context.instance, context.log_event))
    if journal.history(key).event is None:
        raise dg.Failure(
            f"No notification {key!r} exists: partitions of {ASSET} are created for queued messages. To send a "
            "test message, run: metrics-platform notify-test",
            allow_retries=False,
        )
    if again:
        journal.write(key, Reopened())
    attempts = _dispatcher(context, journal, telegram, settings).deliver(key)
    history = journal.history(key)
    metadata = run_metadata(attempts, history, settings)
    if problem := message_problem(attempts, history):
        raise dg.Failure(problem, metadata=metadata, allow_retries=False)
    return metadata


def _show(context: dg.OpExecutionContext, attempt: Attempt, journal: Journal, problem: str, settings: Settings) -> None:
    """Record an attempt in the message's partition: a materialisation once it is delivered, else an observation."""
    history = journal.history(attempt.key)
    parts = history.event.notifications if isinstance(history.event, Digest) else ()
    _list_partitions(context.instance, [attempt.key, *parts], keep=journal.position.open)
    metadata = run_metadata([attempt], history, settings)
    if problem:
        context.log_event(dg.AssetObservation(KEY, partition=attempt.key, description=problem, metadata=metadata))
    elif history.closed:
        context.log_event(dg.AssetMaterialization(KEY, partition=attempt.key, metadata=metadata))
        for part in parts:
            context.log_event(dg.AssetMaterialization(KEY, partition=part, metadata={"sent within": attempt.key}))


def _list_partitions(instance: dg.DagsterInstance, keys: Sequence[str], keep: Sequence[str]) -> None:
    """Add partitions to Dagster's list, and remove the oldest ones beyond `MAX_PARTITIONS` that are not to `keep`."""
    known = instance.get_dynamic_partitions(ASSET)
    if new := [key for key in keys if key not in known]:
        instance.add_dynamic_partitions(ASSET, new)
        for outdated in {*known[: max(0, len(known) + len(new) - MAX_PARTITIONS)]} - {*keep, *keys}:
            instance.delete_dynamic_partition(ASSET, outdated)


def _dispatcher(context: Context, journal: Journal, telegram: TelegramResource, settings: Settings) -> Dispatcher:
    warn = context.log.warning
    recent = recent_sends(context.instance, time.time() - GROUP_SECONDS)
    channels = channels_for(telegram.applied_to(settings), telegram.retry_policy, recent=recent, warn=warn)
    return Dispatcher(journal, channels, Composer.for_settings(settings, warn), settings, warn=warn)


# --- what Dagster's UI shows ----------------------------------------------------------------------------------------

# The latest attempts suffice; a message that waits for a day has hundreds.
_ATTEMPTS_SHOWN = 60
# As wide as Dagster's dialogue on a laptop; the picture as it was sent is in the chat, or in the outbox folder.
_PICTURE_WIDTH = 960


def run_metadata(attempts: Sequence[Attempt], history: History, settings: Settings) -> dict[str, Any]:
    """The metadata of a message after some attempts, whether it was delivered or not."""
    metadata: dict[str, Any] = {}
    composed = next((attempt for attempt in reversed(attempts) if attempt.message), None)
    if composed and composed.message:
        # Pictures are only kept of what was delivered: an outage has hundreds of attempts.
        metadata |= message_metadata(composed.message, composed.pictures if history.closed else ())
    sent = [entry for entry in history.entries if isinstance(entry, Sent)]
    for number, link in enumerate(dict.fromkeys(entry.link for entry in sent if entry.link), 1):
        metadata[_numbered("link", number)] = _link_value(link)
    if delivered := ", ".join(dict.fromkeys(f"{entry.channel} {entry.address}".strip() for entry in sent)):
        metadata["delivered over"] = delivered
    if closed := history.closed:
        metadata["outcome"] = f"{closed.outcome.replace('_', ' ')}: {closed.text}".rstrip(": ")
    shown = history.stored[-_ATTEMPTS_SHOWN:]
    metadata["attempts"] = dg.MetadataValue.table([_attempt(stored, settings) for stored in shown])
    if notes := dict.fromkeys(note for entry in sent for note in entry.notes):
        metadata["notes"] = dg.MetadataValue.md("\n".join(f"- {note}" for note in notes))
    return metadata


def message_metadata(message: Message, pictures: Sequence[Picture]) -> dict[str, Any]:
    """A message and its pictures. Dagster 1.13 shows short texts inline, and a picture only after a click."""
    texts = enumerate(message_markdown(message), 1)
    metadata: dict[str, Any] = {_numbered("message", number): dg.MetadataValue.md(text) for number, text in texts}
    if pictures:
        shown = tuple(replace(picture, png=smaller(picture.png, _PICTURE_WIDTH)) for picture in pictures)
        metadata["pictures"] = dg.MetadataValue.md(picture_markdown(shown))
    return metadata


def message_problem(attempts: Sequence[Attempt], history: History) -> str:
    """Why a message was not delivered, as one text; empty if it was."""
    errors = " ".join(f"{attempt.channel}: {str(attempt.error).rstrip('.')}." for attempt in attempts if attempt.error)
    closed = history.closed
    if closed and closed.outcome in ("unknown", "given_up"):
        return closed.text
    return f"{errors} It is tried again until it is too old." if errors else ""


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name} {number}"


def _link_value(link: str) -> dg.MetadataValue:
    """A page of the outbox as its path: browsers follow no link from a web page to a file."""
    address = urlsplit(link)
    return dg.MetadataValue.path(unquote(address.path)) if address.scheme == "file" else dg.MetadataValue.url(link)


def _attempt(stored: Stored, settings: Settings) -> dg.TableRecord:
    moment = datetime.datetime.fromtimestamp(stored.at, settings.zone)
    what, answer = _described(stored.entry)
    channel = getattr(stored.entry, "channel", "")
    return dg.TableRecord({"time": f"{moment:%Y-%m-%d %H:%M:%S}", "what": what, "channel": channel, "answer": answer})


def _described(entry: Entry) -> tuple[str, str]:
    """What was done, and the answer to it."""
    match entry:
        case Sending():
            return f"sending step {entry.step + 1}", ""
        case Sent():
            where = f"within {entry.within}" if entry.within else entry.address
            ids = f", message {', '.join(entry.message_ids)}" if entry.message_ids else ""
            return f"sent step {entry.step + 1} of {entry.steps}", f"{where}{ids}"
        case Edited():
            return "edited", f"because of {entry.by}"
        case Failed():
            return f"failed ({entry.reason})", entry.text
        case Closed():
            return entry.outcome.replace("_", " "), entry.text
        case _:
            return ("queued" if entry.entry == "asked" else entry.entry), ""


# --- Markdown ---------------------------------------------------------------------------------------------------------
#
# Data is text here, never markup: each character that could begin any is escaped, and blocks of code are indented, so
# that no text can end them.

_MARKS = {"bold": "**", "italic": "*", "plain": "", "code": "`"}
# What begins markup anywhere, what makes a link of a bare address, and what begins a list.
_SPECIAL = re.compile(r"(?=[\\`*_{}\[\]<>#|~!&@$+=]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
_LIST = re.compile(r"^(\s*\d*)(?=[-.)])")


# Dagster shows a shorter text at once, and a longer one only after a click.
INLINE = 999


def message_markdown(message: Message) -> list[str]:
    """The message's text and links, in as few texts as can be shown inline; a longer block is one of its own."""
    blocks = [_line(message.headline), *(_block(block) for block in message.blocks)]
    blocks += [_line(message.footer), " · ".join(_link(link) for link in message.links)]
    texts = [""]
    for block in filter(str.strip, blocks):
        if texts[-1] and len(texts[-1]) + len(block) + 2 > INLINE:
            texts.append("")
        texts[-1] += f"\n\n{block}" if texts[-1] else block
    return texts


def picture_markdown(pictures: tuple[Picture, ...]) -> str:
    return "\n\n".join(
        f"![{_escaped(picture.title)}](data:image/png;base64,{base64.b64encode(picture.png).decode()})"
        for picture in pictures
    )


def _block(block: Block) -> str:
    if isinstance(block, Paragraph):
        return "  \n".join(filter(None, map(_line, block.lines)))
    if isinstance(block, Details):
        return "\n".join(f"> {_line(line)}  " for line in block.lines)
    return "\n".join(f"    {text_of(line)}" for line in lines_of(block))


def _line(spans: Line) -> str:
    return "".join(map(_span, spans)).strip()


def _span(span: Span) -> str:
    """Marks are next to the words, or they would be text; in code, no backtick can be written."""
    inner = span.text.strip()
    if not inner:
        return span.text
    mark = _MARKS[span.style]
    written = inner.replace("`", "\N{MODIFIER LETTER GRAVE ACCENT}") if span.style == "code" else _escaped(inner)
    before, _, after = span.text.partition(inner)
    return f"{before}{mark}{written}{mark}{after}"


def _link(link: Link) -> str:
    label = _escaped(link.label.strip())
    if not link.url.lower().startswith(("http://", "https://")):
        return f"{label}: {_escaped(link.url)}"
    address = re.sub(r"[\s<>\\]", lambda found: f"%{ord(found[0]):02X}", clean(link.url))
    return f"[{label}](<{address}>)"


def _escaped(text: str) -> str:
    return _LIST.sub(r"\1\\", _SPECIAL.sub(r"\\", clean(text).replace("\n", " ")))
