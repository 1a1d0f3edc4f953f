"""What a run of `notify` shows in Dagster's UI: the message, its pictures, every attempt, where it arrived."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

import dagster as dg

from metrics_platform.charts.draw import smaller
from metrics_platform.defs.delivery.storage import Stored
from metrics_platform.notifications.delivery import Outcome
from metrics_platform.notifications.journal import (
    Asked,
    Closed,
    Edited,
    Entry,
    Failed,
    Reopened,
    Sending,
    Sent,
)
from metrics_platform.notifications.markdown import message_markdown, picture_markdown
from metrics_platform.notifications.message import Message, Picture
from metrics_platform.settings import Settings

# The latest attempts tell enough; a message that waits for a day has hundreds.
_ATTEMPTS_SHOWN = 60
# As wide as Dagster's dialogue on a laptop; the picture as it was sent is in the chat, or in the outbox folder.
_PICTURE_WIDTH = 960


def run_metadata(outcome: Outcome, stored: Sequence[Stored], settings: Settings) -> dict[str, Any]:
    """The metadata of a run, whether it delivered the message or not."""
    metadata: dict[str, Any] = {}
    if outcome.message is not None:
        metadata |= message_metadata(outcome.message, outcome.pictures)
    links = dict.fromkeys(each.link for each in outcome.sent if each.link)
    for number, link in enumerate(links, 1):
        metadata["link" if number == 1 else f"link {number}"] = _link(link)
    if delivered := ", ".join(dict.fromkeys(f"{each.channel} {each.address}".strip() for each in outcome.sent)):
        metadata["delivered over"] = delivered
    if outcome.closed is not None:
        metadata["outcome"] = f"{outcome.closed.outcome.replace('_', ' ')}: {outcome.closed.text}".rstrip(": ")
    metadata["attempts"] = dg.MetadataValue.table([_attempt(each, settings) for each in stored[-_ATTEMPTS_SHOWN:]])
    if notes := _notes(outcome.sent):
        metadata["notes"] = dg.MetadataValue.md("\n".join(f"- {note}" for note in notes))
    return metadata


def message_metadata(message: Message, pictures: Sequence[Picture]) -> dict[str, Any]:
    """A message and its pictures, inline."""
    metadata: dict[str, Any] = {"message": dg.MetadataValue.md(message_markdown(message))}
    if pictures:
        shown = tuple(replace(each, png=smaller(each.png, _PICTURE_WIDTH)) for each in pictures)
        metadata["pictures"] = dg.MetadataValue.md(picture_markdown(shown))
    return metadata


def _link(link: str) -> dg.MetadataValue:
    """A page of the outbox as its path: browsers follow no link from a web page to a file."""
    address = urlsplit(link)
    return dg.MetadataValue.path(unquote(address.path)) if address.scheme == "file" else dg.MetadataValue.url(link)


def what_failed(outcome: Outcome) -> str:
    """Why the run is not a success, as one text; empty where it is one."""
    failures = " ".join(f"{name}: {str(error).rstrip('.')}." for name, error in outcome.failures.items())
    if not failures and outcome.closed and outcome.closed.outcome in ("unknown", "given_up"):
        return outcome.closed.text
    if not failures:
        return ""
    done = [each.channel for each in outcome.sent if each.step + 1 == each.steps]
    others = f" It has gone out over {', '.join(dict.fromkeys(done))}." if done else ""
    again = " It is not tried again." if outcome.closed else " It is tried again by notify_sensor until it is too old."
    return f"Not delivered over every channel yet. {failures}{others}{again}"


def _attempt(stored: Stored, settings: Settings) -> dg.TableRecord:
    entry = stored.entry
    moment = datetime.datetime.fromtimestamp(stored.at, settings.zone)
    what, answer = _said(entry)
    channel = getattr(entry, "channel", "")
    return dg.TableRecord({"time": f"{moment:%Y-%m-%d %H:%M:%S}", "what": what, "channel": channel, "answer": answer})


def _said(entry: Entry) -> tuple[str, str]:
    """What an entry tells: what was done, and the answer to it."""
    told: dict[type, Callable[[Any], tuple[str, str]]] = {
        Asked: lambda _: ("asked for", ""),
        Reopened: lambda _: ("asked for once more", ""),
        Sending: lambda each: (f"sending step {each.step + 1}", ""),
        Sent: _sent,
        Edited: lambda each: ("edited", f"to tell {each.by}"),
        Failed: lambda each: (f"failed ({each.reason})", each.text),
        Closed: lambda each: (each.outcome.replace("_", " "), each.text),
    }
    return told[type(entry)](entry)


def _sent(entry: Sent) -> tuple[str, str]:
    where = f"within {entry.within}" if entry.within else entry.address
    ids = f", message {', '.join(entry.message_ids)}" if entry.message_ids else ""
    return f"sent step {entry.step + 1} of {entry.steps}", f"{where}{ids}"


def _notes(sent: Sequence[Sent]) -> list[str]:
    return list(dict.fromkeys(note for each in sent for note in each.notes))
