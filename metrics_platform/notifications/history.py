"""What is known of each message: the entries of the journal, and what follows from them.

An entry is stored before and after every step of a delivery: `Sending` before a step is tried, `Sent` after the channel
has answered. Whatever is killed or lost in between is known afterwards.
"""

from __future__ import annotations

import datetime
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from metrics_platform.notifications.kinds import Event, Key, Notification

# unreachable: nothing arrived; try later.       unknown: it may have arrived, the answer was lost.
# misconfigured: a person has to fix a setting.  refused: this message is not accepted, others may be.
Reason = Literal["unreachable", "unknown", "misconfigured", "refused"]
# Recent entries are read again: clocks of machines differ, and a database may show a later entry first.
_OVERLAP_SECONDS = 300.0


class _Entry(BaseModel):
    # Entries stored by earlier versions have fields that are not needed any more.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class _OfChannel(_Entry):
    channel: str


class Queued(_Entry):
    """The notification is to be sent: it is durable from here on."""

    entry: Literal["queued", "asked"] = "queued"  # `asked` in entries of earlier versions
    notification: Notification


class Started(_OfChannel):
    """An attempt over a channel begins. Without a result after it, its process was killed."""

    entry: Literal["started"] = "started"


class Sending(_OfChannel):
    """A step of the delivery over a channel is about to be tried."""

    entry: Literal["sending"] = "sending"
    step: int
    composed_at: AwareDatetime = Field(description="When the message was rendered: its parts are split accordingly.")


class Sent(_OfChannel):
    """The channel has answered: the step is done. Replies and edits go to the first step's ids."""

    entry: Literal["sent"] = "sent"
    step: int
    steps: int
    address: str = Field(default="", description="The chat (and topic) or addresses it went to.")
    message_ids: tuple[str, ...] = ()
    carrier: Literal["text", "caption", "none"] = "none"
    link: str | None = None
    notes: tuple[str, ...] = Field(default=(), description="What was done differently than intended, and why.")
    within: Key | None = Field(default=None, description="The digest that it was sent in.")


class Edited(_OfChannel):
    """The message was edited because of another notification (`by`), or will include it when it is sent."""

    entry: Literal["edited"] = "edited"
    by: Key


class Failed(_OfChannel):
    """An attempt over a channel failed."""

    entry: Literal["failed"] = "failed"
    reason: Reason
    text: str
    retry_after: float | None = None


class Closed(_Entry):
    """Nothing more is done: delivered (over which channels), or given up (why)."""

    entry: Literal["closed"] = "closed"
    outcome: Literal["delivered", "nothing_to_do", "unknown", "given_up"]
    text: str = ""


class Reopened(_Entry):
    """A user wants it sent once more: what was done before no longer counts."""

    entry: Literal["reopened"] = "reopened"


class Unreadable(_Entry):
    """In place of a `Queued` that this version cannot read. It is never stored."""

    entry: Literal["unreadable"] = "unreadable"
    text: str


Entry = Queued | Started | Sending | Sent | Edited | Failed | Closed | Reopened | Unreadable
# Reads what was stored as `entry.model_dump(mode="json")`.
ENTRIES: TypeAdapter[Entry] = TypeAdapter(
    Annotated[Entry, Field(discriminator="entry")], config=ConfigDict(defer_build=True)
)


@dataclass(frozen=True)
class Stored:
    """An entry, and when it was stored (seconds since 1970)."""

    at: float
    key: str
    entry: Entry


@dataclass(frozen=True)
class Failure:
    """The latest failure over a channel, and when the attempts in a row have failed there."""

    entry: Failed
    times: tuple[datetime.datetime, ...]

    @property
    def at(self) -> datetime.datetime:
        """When the latest attempt failed."""
        return self.times[-1]


@dataclass(frozen=True)
class History:
    """All entries of one message, oldest first. Of those before the last `Reopened`, only the notification counts."""

    key: str
    stored: Sequence[Stored] = ()

    @cached_property
    def _counting(self) -> list[Stored]:
        last = max((at for at, stored in enumerate(self.stored) if isinstance(stored.entry, Reopened)), default=-1)
        queued = [stored for stored in self.stored[: last + 1] if isinstance(stored.entry, Queued | Unreadable)]
        return [*queued, *self.stored[last + 1 :]]

    @cached_property
    def entries(self) -> list[Entry]:
        return [stored.entry for stored in self._counting]

    @cached_property
    def event(self) -> Event | None:
        """The notification as it was queued first; queued again, it is still the same one."""
        return next((entry.notification for entry in self.entries if isinstance(entry, Queued)), None)

    @cached_property
    def unreadable(self) -> str:
        return next((entry.text for entry in self.entries if isinstance(entry, Unreadable)), "")

    @cached_property
    def queued_at(self) -> datetime.datetime:
        reopened = [stored.at for stored in self.stored if isinstance(stored.entry, Reopened)]
        return _utc(reopened[-1] if reopened else self.stored[0].at)

    @cached_property
    def closed(self) -> Closed | None:
        return next((entry for entry in self.entries if isinstance(entry, Closed)), None)

    def steps(self, channel: str) -> dict[int, Sent]:
        """The steps that are done over a channel, by number."""
        return {entry.step: entry for entry in self.entries if isinstance(entry, Sent) and entry.channel == channel}

    def is_sent(self, channel: str) -> bool:
        """Whether every step over a channel is done."""
        steps = self.steps(channel)
        return bool(steps) and len(steps) >= next(iter(steps.values())).steps

    @cached_property
    def failures(self) -> dict[str, Failure]:
        """The latest failure over each channel over which nothing was sent since."""
        found: dict[str, Failure] = {}
        for stored in self._counting:
            if isinstance(stored.entry, Failed):
                before = found.get(stored.entry.channel)
                found[stored.entry.channel] = Failure(
                    stored.entry, (*(before.times if before else ()), _utc(stored.at))
                )
            elif isinstance(stored.entry, Sent):
                found.pop(stored.entry.channel, None)
        return found

    def outcome_unknown(self, channel: str) -> bool:
        """Whether a step was tried and nothing is known of its end: the process was killed, or the answer was lost."""
        of_channel = [
            entry for entry in self.entries if isinstance(entry, Sending | Sent | Failed) and entry.channel == channel
        ]
        last = of_channel[-1] if of_channel else None
        return isinstance(last, Sending) or (isinstance(last, Failed) and last.reason == "unknown")

    def composed_at(self, channel: str) -> datetime.datetime | None:
        """When the message was rendered of which a part was sent: the other parts are split the same way."""
        moment: datetime.datetime | None = None
        for entry in self.entries:
            if isinstance(entry, Sending) and entry.channel == channel:
                moment = entry.composed_at
            elif isinstance(entry, Sent) and entry.channel == channel:
                return moment
        return None

    @cached_property
    def edited_by(self) -> tuple[str, ...]:
        """The notifications that its message was edited for."""
        return tuple(entry.by for entry in self.entries if isinstance(entry, Edited))

    @cached_property
    def crashes(self) -> int:
        """How many attempts in a row have begun without any result: their processes were killed."""
        number = 0
        for entry in self.entries:
            if isinstance(entry, Started):
                number += 1
            elif isinstance(entry, Sent | Failed):
                number = 0
        return number

    @cached_property
    def tried_at(self) -> datetime.datetime | None:
        tried = [stored.at for stored in self._counting if isinstance(stored.entry, Started | Sending | Sent | Failed)]
        return _utc(max(tried)) if tried else None


class Storage:
    """Where entries are kept, in the order of writing. This one keeps nothing: its journal ends with the process."""

    def since(self, moment: float) -> Iterable[Stored]:
        """The entries stored after `moment` (seconds since 1970)."""
        return ()

    def of(self, keys: Sequence[str]) -> Mapping[str, Sequence[Stored]]:
        """All entries of these messages."""
        return {}

    def write(self, key: str, entry: Entry) -> Stored:
        """Add an entry. It is durable when this returns."""
        return Stored(time.time(), key, entry)


class Position(BaseModel):
    """Up to where a journal was read, which messages were open then, and when each channel last took a message."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    read_until: float = 0.0
    open: tuple[str, ...] = ()
    reached: dict[str, float] = {}


class Journal:
    """The histories of messages. They are read once, kept up to date by what is written, and reread by `waiting`."""

    def __init__(self, storage: Storage, position: Position | None = None) -> None:
        self.position = position or Position()
        self._storage = storage
        self._known: dict[str, list[Stored]] = {}

    def history(self, key: str) -> History:
        """The history of one message; empty for an unknown key."""
        if key not in self._known:
            self._known[key] = list(self._storage.of([key]).get(key, ()))
        return History(key, tuple(self._known[key]))

    def write(self, key: str, entry: Entry) -> None:
        """Store an entry."""
        self.history(key)
        stored = self._storage.write(key, entry)
        self._known[key].append(stored)
        self._advance([stored])

    def waiting(self) -> list[History]:
        """Reread the journal; returns the messages that are not closed."""
        recent = list(self._storage.since(self.position.read_until - _OVERLAP_SECONDS))
        self._advance(recent)
        keys = dict.fromkeys([*self.position.open, *(stored.key for stored in recent)])
        found = self._storage.of(list(keys))
        self._known.update({key: list(found.get(key, ())) for key in keys})
        histories = [self.history(key) for key in keys]
        waiting = [history for history in histories if not history.closed and (history.event or history.unreadable)]
        self.position = self.position.model_copy(update={"open": tuple(history.key for history in waiting)})
        return waiting

    @property
    def reached(self) -> dict[str, datetime.datetime]:
        """When each channel last took a message."""
        return {name: _utc(moment) for name, moment in self.position.reached.items()}

    def _advance(self, stored: Sequence[Stored]) -> None:
        reached: dict[str, float] = defaultdict(float, self.position.reached)
        for one in stored:
            if isinstance(one.entry, Sent):
                reached[one.entry.channel] = max(reached[one.entry.channel], one.at)
        read_until = max([self.position.read_until, *(one.at for one in stored)])
        self.position = self.position.model_copy(update={"read_until": read_until, "reached": dict(reached)})


def _utc(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
