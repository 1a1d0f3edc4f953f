"""What became of each notification, as entries that are written before and after every step of its delivery.

The journal is the delivery's memory: a step is written as `Sending` before it is tried and as `Sent` after the channel
has answered, so that whatever is killed or lost in between is known afterwards. Where it is kept is the caller's
business (Dagster's event log; a list in tests and for messages on request).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from metrics_platform.notifications.errors import Reason
from metrics_platform.notifications.kinds import Key, Notification


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Asked(_Entry):
    """Somebody asked for the notification: it is durable from here on."""

    entry: Literal["asked"] = "asked"
    notification: Notification


class Sending(_Entry):
    """A step of the delivery over a channel is about to be tried."""

    entry: Literal["sending"] = "sending"
    channel: str
    step: int
    composed_at: AwareDatetime = Field(description="The `now` the message was written with: its parts are cut by it.")


class Sent(_Entry):
    """The channel has answered: the step is done. The first step's ids are what replies and edits go to."""

    entry: Literal["sent"] = "sent"
    channel: str
    step: int
    steps: int
    address: str = Field(default="", description="The chat (and topic) or addresses it went to.")
    message_ids: tuple[str, ...] = ()
    carrier: Literal["text", "caption", "none"] = "none"
    link: str | None = None
    notes: tuple[str, ...] = Field(default=(), description="What was done differently than meant, and why.")
    within: Key | None = Field(default=None, description="The digest that it went out in.")


class Edited(_Entry):
    """The message was changed to tell what another notification (`by`) told; one that is not out yet will tell it."""

    entry: Literal["edited"] = "edited"
    channel: str
    by: Key


class Failed(_Entry):
    """A try over a channel ended without success."""

    entry: Literal["failed"] = "failed"
    channel: str
    reason: Reason
    text: str
    retry_after: float | None = None
    at: AwareDatetime | None = Field(default=None, description="When it ended.")
    number: int = Field(default=0, ge=0, description="How many tries over this channel have failed in a row with it.")


class Closed(_Entry):
    """Nothing more is done about the notification: delivered (to what), or given up (why)."""

    entry: Literal["closed"] = "closed"
    outcome: Literal["delivered", "nothing_to_do", "unknown", "given_up"]
    text: str = ""


class Reopened(_Entry):
    """A person asked for it to be delivered once more: what was done before counts no longer."""

    entry: Literal["reopened"] = "reopened"


Entry = Asked | Sending | Sent | Edited | Failed | Closed | Reopened
_ADAPTER: TypeAdapter[Any] = TypeAdapter(
    Annotated[Entry, Field(discriminator="entry")], config=ConfigDict(defer_build=True)
)


def read_entry(stored: Any) -> Entry:
    """The entry that was stored as `entry.model_dump(mode="json")`; raises pydantic.ValidationError."""
    entry: Entry = _ADAPTER.validate_python(stored)
    return entry


class Journal(Protocol):
    """Where entries are kept, by the notification's key, in the order of writing."""

    def entries(self, key: str) -> list[Entry]:
        """The entries of one notification that count (see `current`), oldest first."""

    def write(self, key: str, entry: Entry) -> None:
        """Add an entry; it is durable when this returns."""


class MemoryJournal:
    """A journal that ends with the process."""

    def __init__(self) -> None:
        self._entries: dict[str, list[Entry]] = {}

    def entries(self, key: str) -> list[Entry]:
        """See `Journal`."""
        return current(self._entries.get(key, ()))

    def write(self, key: str, entry: Entry) -> None:
        """See `Journal`."""
        self._entries.setdefault(key, []).append(entry)


def current(entries: Iterable[Entry]) -> list[Entry]:
    """The entries that count: all, or what was asked and what came after it was reopened last."""
    found = list(entries)
    last = max((number for number, entry in enumerate(found) if isinstance(entry, Reopened)), default=None)
    if last is None:
        return found
    return [*(entry for entry in found[:last] if isinstance(entry, Asked)), *found[last + 1 :]]


def asked(entries: Iterable[Entry]) -> Any | None:
    """The notification as it was first asked for; asked for again, it is still the same one."""
    return next((entry.notification for entry in entries if isinstance(entry, Asked)), None)


def sent_steps(entries: Iterable[Entry], channel: str) -> dict[int, Sent]:
    """The steps that are done over a channel, by number."""
    return {entry.step: entry for entry in entries if isinstance(entry, Sent) and entry.channel == channel}


def closed(entries: Iterable[Entry]) -> Closed | None:
    """How it ended, if it has."""
    return next((entry for entry in entries if isinstance(entry, Closed)), None)


def is_sent(entries: Iterable[Entry], channel: str) -> bool:
    """Whether every step of the delivery over a channel is done."""
    steps = sent_steps(entries, channel)
    return bool(steps) and len(steps) >= next(iter(steps.values())).steps


def failures(entries: Iterable[Entry]) -> dict[str, Failed]:
    """The last failure over each channel over which nothing has been sent since."""
    found: dict[str, Failed] = {}
    for entry in entries:
        if isinstance(entry, Failed):
            found[entry.channel] = entry
        elif isinstance(entry, Sent):
            found.pop(entry.channel, None)
    return found


def composed_at(entries: Iterable[Entry], channel: str) -> datetime.datetime | None:
    """The moment the message over a channel was written at, where a part of it is out: the others are cut as it was."""
    begun: datetime.datetime | None = None
    for entry in entries:
        if isinstance(entry, Sending) and entry.channel == channel:
            begun = entry.composed_at
        elif isinstance(entry, Sent) and entry.channel == channel:
            return begun
    return None


def left_open(entries: Iterable[Entry], channel: str) -> bool:
    """Whether a step over a channel was begun and nothing is known of its end: the process was killed in between, or
    the answer was lost."""
    last: Entry | None = None
    for entry in entries:
        if isinstance(entry, Sending | Sent | Failed) and entry.channel == channel:
            last = entry
    return isinstance(last, Sending) or (isinstance(last, Failed) and last.reason == "unknown")
