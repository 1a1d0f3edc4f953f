"""The work of a `notify` run: send due messages, and record each attempt in the message's partition."""

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

from metrics_platform.charts.model import shrink
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
# Dagster lists at most this many partitions. Older ones are removed from the list; their entries stay in the event log.
MAX_PARTITIONS = 2000
# Wait this long for a check of the monitor, because it may queue an alert. The first check of a history takes longer.
_MAX_CHECK_SECONDS = 60


def send_due(context: dg.OpExecutionContext, position: str, telegram: TelegramResource, settings: Settings) -> None:
    """Send every message that is due. `position`: where to start reading the queue, as JSON.

    Raises:
        dg.Failure: some messages could not be delivered. It names them.
    """
    storage = EventLog(context.instance, context.log_event)
    start = Position.model_validate_json(position)
    journal = queue_of(storage, settings, start, datetime.datetime.now(datetime.UTC))
    problems: dict[str, str] = {}

    def report(attempt: Attempt) -> None:
        problem = message_problem([attempt], journal.history(attempt.key))
        problems[f"{attempt.key} over {attempt.channel}"] = problem
        _record_attempt(context, attempt, journal, problem, settings)

    checks = dg.RunsFilter(job_name=MONITOR_JOB, statuses=[dg.DagsterRunStatus.STARTED])
    if context.instance.get_runs_count(checks):
        # An alert has a chart. Load the plotting library, which takes a second, while the check computes.
        import metrics_platform.charts.figure  # noqa: F401, PLC0415
    deadline = time.monotonic() + _MAX_CHECK_SECONDS
    step = _dispatcher(context, journal, telegram, settings).drain(
        report, expects_more=lambda: time.monotonic() < deadline and context.instance.get_runs_count(checks) > 0
    )
    context.log.info(f"Nothing more is sent now: {step.reason}.")
    failed = {name: problem for name, problem in problems.items() if problem}
    if failed:
        examples = " ".join(f"{name}: {problem}" for name, problem in list(failed.items())[:5])
        text = f"{len(failed)} of {len(problems)} deliveries failed. {examples}"
        raise dg.Failure(text, metadata=failed, allow_retries=False)


def send_one(
    context: dg.AssetExecutionContext, telegram: TelegramResource, settings: Settings, *, again: bool
) -> dict[str, Any]:
    """Send the message of the run's partition, with `again` even if it was closed. Returns its metadata.

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


def _record_attempt(
    context: dg.OpExecutionContext, attempt: Attempt, journal: Journal, problem: str, settings: Settings
) -> None:
    """Record an attempt in the message's partition: a materialisation if it succeeded, otherwise an observation."""
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
    listed = instance.get_dynamic_partitions(ASSET)
    if new := [key for key in keys if key not in listed]:
        instance.add_dynamic_partitions(ASSET, new)
        for old in {*listed[: max(0, len(listed) + len(new) - MAX_PARTITIONS)]} - {*keep, *keys}:
            instance.delete_dynamic_partition(ASSET, old)


def _dispatcher(context: Context, journal: Journal, telegram: TelegramResource, settings: Settings) -> Dispatcher:
    warn = context.log.warning
    recent = recent_sends(context.instance, time.time() - GROUP_SECONDS)
    channels = channels_for(telegram.apply_to(settings), telegram.retry_policy, recent=recent, warn=warn)
    return Dispatcher(journal, channels, Composer.for_settings(settings, warn), settings, warn=warn)


# --- what Dagster's UI shows ----------------------------------------------------------------------------------------

# Show only the latest attempts: a message that waits for a day has hundreds.
_MAX_ATTEMPT_ROWS = 60
# The width of Dagster's dialogue on a laptop. The original picture is in the chat, or in the outbox folder.
_PICTURE_WIDTH = 960


def run_metadata(attempts: Sequence[Attempt], history: History, settings: Settings) -> dict[str, Any]:
    """The metadata of a message after some attempts, whether it was delivered or not."""
    metadata: dict[str, Any] = {}
    rendered = next((attempt for attempt in reversed(attempts) if attempt.message), None)
    if rendered and rendered.message:
        # Store pictures only with the delivered message: an outage has hundreds of attempts.
        metadata |= message_metadata(rendered.message, rendered.pictures if history.closed else ())
    sent = [entry for entry in history.entries if isinstance(entry, Sent)]
    for number, link in enumerate(dict.fromkeys(entry.link for entry in sent if entry.link), 1):
        metadata[_numbered_name("link", number)] = _link_value(link)
    if delivered := ", ".join(dict.fromkeys(f"{entry.channel} {entry.address}".strip() for entry in sent)):
        metadata["delivered over"] = delivered
    if closed := history.closed:
        metadata["outcome"] = f"{closed.outcome.replace('_', ' ')}: {closed.text}".rstrip(": ")
    latest = history.stored[-_MAX_ATTEMPT_ROWS:]
    metadata["attempts"] = dg.MetadataValue.table([_attempt(stored, settings) for stored in latest])
    if notes := dict.fromkeys(note for entry in sent for note in entry.notes):
        metadata["notes"] = dg.MetadataValue.md("\n".join(f"- {note}" for note in notes))
    return metadata


def message_metadata(message: Message, pictures: Sequence[Picture]) -> dict[str, Any]:
    """A message and its pictures. Dagster 1.13 shows short texts inline, and a picture only after a click."""
    texts = enumerate(message_markdown(message), 1)
    metadata: dict[str, Any] = {_numbered_name("message", number): dg.MetadataValue.md(text) for number, text in texts}
    if pictures:
        scaled = tuple(replace(picture, png=shrink(picture.png, _PICTURE_WIDTH)) for picture in pictures)
        metadata["pictures"] = dg.MetadataValue.md(picture_markdown(scaled))
    return metadata


def message_problem(attempts: Sequence[Attempt], history: History) -> str:
    """Why a message was not delivered; empty if it was."""
    errors = " ".join(f"{attempt.channel}: {str(attempt.error).rstrip('.')}." for attempt in attempts if attempt.error)
    closed = history.closed
    if closed and closed.outcome in ("unknown", "given_up"):
        return closed.text
    return f"{errors} It is tried again until it is too old." if errors else ""


def _numbered_name(name: str, number: int) -> str:
    return name if number == 1 else f"{name} {number}"


def _link_value(link: str) -> dg.MetadataValue:
    """The link as metadata; a page of the outbox as a path, because browsers do not follow links to files."""
    address = urlsplit(link)
    return dg.MetadataValue.path(unquote(address.path)) if address.scheme == "file" else dg.MetadataValue.url(link)


def _attempt(stored: Stored, settings: Settings) -> dg.TableRecord:
    moment = datetime.datetime.fromtimestamp(stored.at, settings.zone)
    action, answer = _describe(stored.entry)
    channel = getattr(stored.entry, "channel", "")
    return dg.TableRecord({"time": f"{moment:%Y-%m-%d %H:%M:%S}", "what": action, "channel": channel, "answer": answer})


def _describe(entry: Entry) -> tuple[str, str]:
    """The action of an entry, and the answer to it."""
    match entry:
        case Sending():
            return f"sending step {entry.step + 1}", ""
        case Sent():
            destination = f"within {entry.within}" if entry.within else entry.address
            ids = f", message {', '.join(entry.message_ids)}" if entry.message_ids else ""
            return f"sent step {entry.step + 1} of {entry.steps}", f"{destination}{ids}"
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
# Data must not become markup: all special characters are escaped, and code blocks are indented, so that no text can end
# them.

_MARKS = {"bold": "**", "italic": "*", "plain": "", "code": "`"}
# Characters that begin markup, that turn an address into a link, or that begin a list.
_SPECIAL = re.compile(r"(?=[\\`*_{}\[\]<>#|~!&@$+=]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
_LIST = re.compile(r"^(\s*\d*)(?=[-.)])")


# Dagster shows texts up to this length inline, and longer ones only after a click.
INLINE = 999


def message_markdown(message: Message) -> list[str]:
    """The message's text and links, in as few inline texts as possible. A longer block is a text of its own."""
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
        f"![{escape_markdown(picture.title)}](data:image/png;base64,{base64.b64encode(picture.png).decode()})"
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
    """A span in Markdown. Marks must touch the words, and code cannot contain backticks."""
    inner = span.text.strip()
    if not inner:
        return span.text
    mark = _MARKS[span.style]
    content = inner.replace("`", "\N{MODIFIER LETTER GRAVE ACCENT}") if span.style == "code" else escape_markdown(inner)
    before, _, after = span.text.partition(inner)
    return f"{before}{mark}{content}{mark}{after}"


def _link(link: Link) -> str:
    label = escape_markdown(link.label.strip())
    if not link.url.lower().startswith(("http://", "https://")):
        return f"{label}: {escape_markdown(link.url)}"
    address = re.sub(r"[\s<>\\]", lambda match: f"%{ord(match[0]):02X}", clean(link.url))
    return f"[{label}](<{address}>)"


def escape_markdown(text: str) -> str:
    """Text that Dagster shows as it is, also in the description of a check."""
    return _LIST.sub(r"\1\\", _SPECIAL.sub(r"\\", clean(text).replace("\n", " ")))
