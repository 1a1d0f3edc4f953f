"""The messages that have arrived since the demo began, for the terminal."""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from metrics_platform.local.dagster_local import display_path
from metrics_platform.notifications.journal import Sent, asked
from metrics_platform.settings import Settings

if TYPE_CHECKING:
    from metrics_platform.defs.delivery.storage import Stored

_STORED_WITHIN = 60.0  # seconds


class Arrival(NamedTuple):
    """A message: its headline, and where it is."""

    headline: str
    where: str


@dataclass
class Arrivals:
    """Reads the journal of Dagster's instance; what went out before is not new."""

    settings: Settings
    _begun: float = field(default_factory=time.time)
    _known: set[tuple[float, str]] = field(default_factory=set)

    def take(self) -> list[Arrival]:
        """Each message since the last call, oldest first; one over three channels arrives three times."""
        import dagster as dg  # noqa: PLC0415

        from metrics_platform.defs.delivery.storage import read_keys, read_since  # noqa: PLC0415

        # Entries of two processes may be stored in another order than that of their times.
        since = max([self._begun, *(at - _STORED_WITHIN for at, _ in self._known)])
        with dg.DagsterInstance.get() as instance:
            new = [sent for sent in read_since(instance, since) if (sent.at, sent.key) not in self._known]
            stored = read_keys(instance, sorted({sent.key for sent in new if _has_arrived(sent)}))
        self._known = {known for known in self._known if known[0] >= since} | {(sent.at, sent.key) for sent in new}
        return [self._arrival(sent, stored[sent.key]) for sent in new if _has_arrived(sent)]

    def _arrival(self, sent: Stored, stored: list[Stored]) -> Arrival:
        from metrics_platform.notifications.message import text_of  # noqa: PLC0415
        from metrics_platform.notifications.templates import render_or_fallback  # noqa: PLC0415
        from metrics_platform.notifications.templates.writer import Writer  # noqa: PLC0415

        where = _where(cast("Sent", sent.entry))
        event = asked(one.entry for one in stored)
        if event is None:
            return Arrival(sent.key, where)
        writer = Writer.for_settings(self.settings, datetime.datetime.fromtimestamp(sent.at, datetime.UTC))
        return Arrival(text_of(render_or_fallback(event, writer)[0].headline), where)


def _where(sent: Sent) -> str:
    if sent.channel == "outbox":
        return display_path(Path(sent.address, *sent.message_ids))
    return sent.link or f"{sent.channel} {sent.address}".strip()


def _has_arrived(stored: Stored) -> bool:
    """Whether it is the last step of a message of its own: what went out in a digest arrives with that one."""
    entry = stored.entry
    return isinstance(entry, Sent) and entry.step + 1 == entry.steps and entry.within is None
