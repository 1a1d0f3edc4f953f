"""What Dagster's UI shows of a message: its text and pictures, every attempt, and where it arrived."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

import dagster as dg

from metrics_platform.charts.draw import smaller
from metrics_platform.notifications.dispatcher import Attempt
from metrics_platform.notifications.history import (
    Closed,
    Edited,
    Entry,
    Failed,
    History,
    Sending,
    Sent,
    Stored,
)
from metrics_platform.notifications.markdown import message_markdown, picture_markdown
from metrics_platform.notifications.message import Message, Picture
from metrics_platform.settings import Settings

# The latest attempts suffice; a message that waits for a day has hundreds.
_ATTEMPTS_SHOWN = 60
# As wide as Dagster's dialogue on a laptop; the picture as it was sent is in the chat, or in the outbox folder.
_PICTURE_WIDTH = 960


def run_metadata(attempts: Sequence[Attempt], history: History, settings: Settings) -> dict[str, Any]:
    """The metadata of a message after some attempts, whether it was delivered or not."""
    metadata: dict[str, Any] = {}
    composed = next((each for each in reversed(attempts) if each.message), None)
    if composed and composed.message:
        # Pictures are only kept of what was delivered: an outage has hundreds of attempts.
        metadata |= message_metadata(composed.message, composed.pictures if history.closed else ())
    sent = [entry for entry in history.entries if isinstance(entry, Sent)]
    for number, link in enumerate(dict.fromkeys(each.link for each in sent if each.link), 1):
        metadata[_numbered("link", number)] = _link(link)
    if delivered := ", ".join(dict.fromkeys(f"{each.channel} {each.address}".strip() for each in sent)):
        metadata["delivered over"] = delivered
    if closed := history.closed:
        metadata["outcome"] = f"{closed.outcome.replace('_', ' ')}: {closed.text}".rstrip(": ")
    shown = history.stored[-_ATTEMPTS_SHOWN:]
    metadata["attempts"] = dg.MetadataValue.table([_attempt(each, settings) for each in shown])
    if notes := dict.fromkeys(note for each in sent for note in each.notes):
        metadata["notes"] = dg.MetadataValue.md("\n".join(f"- {note}" for note in notes))
    return metadata


def message_metadata(message: Message, pictures: Sequence[Picture]) -> dict[str, Any]:
    """A message and its pictures. Dagster 1.13 shows short texts inline, and a picture only after a click."""
    texts = enumerate(message_markdown(message), 1)
    metadata: dict[str, Any] = {_numbered("message", number): dg.MetadataValue.md(text) for number, text in texts}
    if pictures:
        shown = tuple(replace(each, png=smaller(each.png, _PICTURE_WIDTH)) for each in pictures)
        metadata["pictures"] = dg.MetadataValue.md(picture_markdown(shown))
    return metadata


def message_problem(attempts: Sequence[Attempt], history: History) -> str:
    """Why a message was not delivered, as one text; empty if it was."""
    errors = " ".join(f"{each.channel}: {str(each.error).rstrip('.')}." for each in attempts if each.error)
    closed = history.closed
    if closed and closed.outcome in ("unknown", "given_up"):
        return closed.text
    return f"{errors} It is tried again until it is too old." if errors else ""


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name} {number}"


def _link(link: str) -> dg.MetadataValue:
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
