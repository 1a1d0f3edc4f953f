"""The history of each message: the entries of the journal, and the state that follows from them.

An entry is stored before and after every step of a delivery: `Sending` before a step is tried, `Sent` after the channel
has answered. If a process is killed or an answer is lost in between, the entries show it.
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
# Recent entries are read again: clocks of machines differ, and an entry may become visible after a later one.
_OVERLAP_SECONDS = 300.0


class _Entry(BaseModel):
    # Entries of earlier versions have fields that no longer exist.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class _ChannelEntry(_Entry):
    channel: str


class Queued(_Entry):
    """The notification is queued. From now on it is durable."""

    entry: Literal["queued", "asked"] = "queued"  # `asked` in entries of earlier versions
    notification: Notification


class Started(_ChannelEntry):
    """An attempt over a channel begins. If no result follows, its process was killed."""

    entry: Literal["started"] = "started"


class Sending(_ChannelEntry):
    """A step of the delivery over a channel is about to be tried."""

    entry: Literal["sending"] = "sending"
    step: int
    composed_at: AwareDatetime = Field(description="When the message was rendered: its parts are split accordingly.")


class Sent(_ChannelEntry):
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


class Edited(_ChannelEntry):
    """The message was edited because of another notification (`by`), or will include it when it is sent."""

    entry: Literal["edited"] = "edited"
    by: Key


class Failed(_ChannelEntry):
    """An attempt over a channel failed."""

    entry: Literal["failed"] = "failed"
    reason: Reason
    text: str
    retry_after: float | None = None


class Closed(_Entry):
    """The message is finished: delivered (over which channels), or given up (why)."""

    entry: Literal["closed"] = "closed"
    outcome: Literal["delivered", "nothing_to_do", "unknown", "given_up"]
    text: str = ""


class Reopened(_Entry):
    """A user sends the message again. Earlier entries no longer count."""

    entry: Literal["reopened"] = "reopened"


class Unreadable(_Entry):
    """Replaces a `Queued` that this version cannot read. It is never stored."""

    entry: Literal["unreadable"] = "unreadable"
    text: str


Entry = Queued | Started | Sending | Sent | Edited | Failed | Closed | Reopened | Unreadable
# Parses stored entries, written by `entry.model_dump(mode="json")`.
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
    """The latest failure over a channel, and when each attempt since the last success failed."""

    entry: Failed
    times: tuple[datetime.datetime, ...]

    @property
    def at(self) -> datetime.datetime:
        """When the latest attempt failed."""
        return self.times[-1]


@dataclass(frozen=True)
class History:
    """All entries of one message, oldest first. Before the last `Reopened`, only the `Queued` entries count."""

    key: str
    stored: Sequence[Stored] = ()

    @cached_property
    def _current(self) -> list[Stored]:
        last = max(
            (index for index, stored in enumerate(self.stored) if isinstance(stored.entry, Reopened)), default=-1
        )
        queued = [stored for stored in self.stored[: last + 1] if isinstance(stored.entry, Queued | Unreadable)]
        return [*queued, *self.stored[last + 1 :]]

    @cached_property
    def entries(self) -> list[Entry]:
        return [stored.entry for stored in self._current]

    @cached_property
    def event(self) -> Event | None:
        """The notification as it was first queued. Queueing it again does not change it."""
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
        """The finished steps over a channel, by number."""
        return {entry.step: entry for entry in self.entries if isinstance(entry, Sent) and entry.channel == channel}

    def is_sent(self, channel: str) -> bool:
        """Whether every step over a channel is done."""
        steps = self.steps(channel)
        return bool(steps) and len(steps) >= next(iter(steps.values())).steps

    @cached_property
    def failures(self) -> dict[str, Failure]:
        """The latest failure of each channel that has sent nothing since."""
        latest: dict[str, Failure] = {}
        for stored in self._current:
            if isinstance(stored.entry, Failed):
                before = latest.get(stored.entry.channel)
                latest[stored.entry.channel] = Failure(
                    stored.entry, (*(before.times if before else ()), _utc(stored.at))
                )
            elif isinstance(stored.entry, Sent):
                latest.pop(stored.entry.channel, None)
        return latest

    def outcome_unknown(self, channel: str) -> bool:
        """Whether the outcome of the last step is unknown: the process was killed, or the answer was lost."""
        of_channel = [
            entry for entry in self.entries if isinstance(entry, Sending | Sent | Failed) and entry.channel == channel
        ]
        last = of_channel[-1] if of_channel else None
        return isinstance(last, Sending) or (isinstance(last, Failed) and last.reason == "unknown")

    def composed_at(self, channel: str) -> datetime.datetime | None:
        """When the message was rendered, if a part of it was sent: the other parts must be split the same way."""
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
        """How many attempts in a row have no result, because their processes were killed."""
        number = 0
        for entry in self.entries:
            if isinstance(entry, Started):
                number += 1
            elif isinstance(entry, Sent | Failed):
                number = 0
        return number

    @cached_property
    def tried_at(self) -> datetime.datetime | None:
        tried = [stored.at for stored in self._current if isinstance(stored.entry, Started | Sending | Sent | Failed)]
        return _utc(max(tried)) if tried else None


class Storage:
    """Stores entries in the order of writing. This base class stores nothing: its journal ends with the process."""

    def since(self, moment: float) -> Iterable[Stored]:
        """The entries stored after `moment` (seconds since 1970)."""
        return ()

    def of(self, keys: Sequence[str]) -> Mapping[str, Sequence[Stored]]:
        """All entries of these messages, by key."""
        return {}

    def write(self, key: str, entry: Entry) -> Stored:
        """Add an entry. It is durable when this returns."""
        return Stored(time.time(), key, entry)


class Position(BaseModel):
    """How far a journal was read, which messages were open then, and when each channel last accepted a message."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    read_until: float = 0.0
    open: tuple[str, ...] = ()
    reached: dict[str, float] = {}


class Journal:
    """The histories of messages. Each is read once; writing updates it, and `waiting` rereads it."""

    def __init__(self, storage: Storage, position: Position | None = None) -> None:
        self.position = position or Position()
        self._storage = storage
        self._stored: dict[str, list[Stored]] = {}

    def history(self, key: str) -> History:
        """The history of one message; empty for an unknown key."""
        if key not in self._stored:
            self._stored[key] = list(self._storage.of([key]).get(key, ()))
        return History(key, tuple(self._stored[key]))

    def write(self, key: str, entry: Entry) -> None:
        """Store an entry."""
        self.history(key)
        stored = self._storage.write(key, entry)
        self._stored[key].append(stored)
        self._advance([stored])

    def waiting(self) -> list[History]:
        """Reread the journal; returns the messages that are not closed."""
        recent = list(self._storage.since(self.position.read_until - _OVERLAP_SECONDS))
        self._advance(recent)
        keys = dict.fromkeys([*self.position.open, *(stored.key for stored in recent)])
        entries = self._storage.of(list(keys))
        self._stored.update({key: list(entries.get(key, ())) for key in keys})
        histories = [self.history(key) for key in keys]
        waiting = [history for history in histories if not history.closed and (history.event or history.unreadable)]
        self.position = self.position.model_copy(update={"open": tuple(history.key for history in waiting)})
        return waiting

    @property
    def reached(self) -> dict[str, datetime.datetime]:
        """When each channel last accepted a message."""
        return {name: _utc(moment) for name, moment in self.position.reached.items()}

    def _advance(self, stored: Sequence[Stored]) -> None:
        reached: dict[str, float] = defaultdict(float, self.position.reached)
        for record in stored:
            if isinstance(record.entry, Sent):
                reached[record.entry.channel] = max(reached[record.entry.channel], record.at)
        read_until = max([self.position.read_until, *(record.at for record in stored)])
        self.position = self.position.model_copy(update={"read_until": read_until, "reached": dict(reached)})


def _utc(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
